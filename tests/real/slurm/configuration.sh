# The test-bed's ports and configuration files. Sourced by `up`.
# shellcheck shell=bash

MARK="# Written by Labwright's Slurm test-bed (tests/real/slurm/up): changes are lost"

ours() { [ ! -e "$1" ] || grep -qF "tests/real/slurm/up" "$1"; }

# write FILE MODE < TEXT: remembers in CHANGED whether it says anything new
CHANGED=
write() {
  local text
  text="$MARK
$(cat)"
  [ "$(cat "$1" 2>/dev/null)" != "$text" ] || return 0
  (umask 077 && printf '%s\n' "$text" >"$1.new")
  chmod "$2" "$1.new"
  mv "$1.new" "$1"
  CHANGED=yes
}

# Ports: a block of 20 that was free when the state folder was made
set_ports() {
  BASE=$1 CTLD_PORT=$1 DBD_PORT=$(($1 + 1)) SSH_PORT=$(($1 + 2)) REST_PORT=$(($1 + 3)) NODE_PORT=$(($1 + 10))
}
load_ports() { set_ports "$(cat "$STATE/ports")"; }

# 0A is LISTEN; the kernel's own table, since iproute2 is not everywhere
listening() { grep -qsiE "^ *[0-9]+: [0-9A-F]+:$(printf %04X "$1") [0-9A-F]+:0000 0A " /proc/net/tcp /proc/net/tcp6; }

# A port that should be a daemon's own, and that another process has
taken() {
  local index
  listening "$CTLD_PORT" && ! running slurmctld && return
  listening "$DBD_PORT" && ! running slurmdbd && return
  listening "$SSH_PORT" && ! running sshd && return
  listening "$REST_PORT" && ! running slurmrestd-jwt && return
  for index in "${!NODES[@]}"; do
    listening $((NODE_PORT + index + 1)) && ! running "${NODES[index]}" && return
  done
  return 1
}

choose_ports() {
  set_ports "$(cat "$STATE/ports" 2>/dev/null || echo 17000)"
  if taken; then
    stop_everything
    while taken; do
      set_ports $((BASE + 20))
      [ "$BASE" -lt 32000 ] || die 1 "no block of 20 free ports from 17000 to 32000"
    done
    say "ports from $BASE on"
  fi
  echo "$BASE" >"$STATE/ports"
}

configure() {
  CHANGED=
  mkdir -p /etc/slurm
  write "$STATE/hosts" 644 < <(cat /etc/hosts && echo "127.0.0.1 login" && node_addresses)
  write "$STATE/ssh_config" 644 < <(client_conf)
  printf '[127.0.0.1]:%s %s\n' "$SSH_PORT" "$(cut -d' ' -f1,2 "$STATE/keys/host.pub")" >"$STATE/known_hosts"
  CHANGED= # those are read anew at each use, these are not
  write /etc/slurm/slurm.conf 644 < <(slurm_conf)
  write /etc/slurm/gres.conf 644 < <(gres_conf)
  write /etc/slurm/cgroup.conf 644 < <(cgroup_conf)
  write /etc/slurm/slurmdbd.conf 600 < <(slurmdbd_conf)
  write "$STATE/sshd_config" 644 < <(sshd_conf)
  if [ -n "$CHANGED" ] && [ -n "$(members)" ]; then
    say "the configuration changed: starting anew"
    stop_everything
  fi
}

node_addresses() { local i; for i in "${!NODES[@]}"; do echo "127.0.1.$((i + 1)) ${NODES[i]}"; done; }

node_lines() {
  local i
  for i in "${!NODES[@]}"; do
    echo "NodeName=${NODES[i]} NodeAddr=127.0.1.$((i + 1)) Port=$((NODE_PORT + i + 1)) CPUs=64 RealMemory=256000 Gres=gpu:h100:$GPUS State=UNKNOWN"
  done
}

# cgroups, version 1, which Slurm 22.05 can use without systemd
have_cgroups() {
  local controller folder
  for controller in memory freezer; do
    folder=/sys/fs/cgroup/$controller/labwright-slurm-try
    grep -q " /sys/fs/cgroup/$controller cgroup " /proc/mounts && mkdir -p "$folder" 2>/dev/null && rmdir "$folder" || return
  done
}

# With them the kernel ends a job that takes too much: OUT_OF_MEMORY. Else Slurm itself does, at its next look: FAILED.
memory_limits() {
  if have_cgroups; then
    printf '%s\n' ProctrackType=proctrack/cgroup TaskPlugin=task/cgroup
  else
    printf '%s\n' ProctrackType=proctrack/linuxproc TaskPlugin=task/none JobAcctGatherParams=OverMemoryKill
  fi
}

cgroup_conf() { printf '%s\n' CgroupPlugin=cgroup/v1 CgroupMountpoint=/sys/fs/cgroup ConstrainRAMSpace=yes; }

slurm_conf() {
  cat <<E
ClusterName=labwright
SlurmctldHost=login(127.0.0.1)
SlurmctldPort=$CTLD_PORT
SlurmUser=root
AuthType=auth/munge
# cred_expire is also how long a requeued job waits: 120 s by default
AuthInfo=socket=$STATE/munge.run/socket,cred_expire=5
AuthAltTypes=auth/jwt
AuthAltParameters=jwt_key=$STATE/jwt.key
StateSaveLocation=$STATE/state
SlurmctldPidFile=$STATE/run/slurmctld.own
SlurmctldLogFile=$STATE/log/slurmctld.log
SlurmdPidFile=$STATE/run/%n.own
SlurmdLogFile=$STATE/log/%n.log
SlurmdSpoolDir=$STATE/spool.%n

# 64 processors and 256 GB a node whatever the machine has
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=1000
GresTypes=gpu
MpiDefault=none
MailProg=/bin/true
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=2
$(memory_limits)

PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmctldParameters=preempt_send_user_signal
JobRequeue=1
# A site's own limits (MaxArraySize is Slurm's default), with delays made for waiting tests
MaxArraySize=1001
MaxJobCount=50000
MinJobAge=600
SchedulerParameters=sched_min_interval=100000,sched_interval=2,bf_interval=2,max_rpc_cnt=150
KillWait=5
InactiveLimit=0
ReturnToService=1
SlurmctldTimeout=30
SlurmdTimeout=15
MessageTimeout=10

AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort=$DBD_PORT
# the socket of munge, which AuthInfo does not tell the accounting client
AccountingStoragePass=$STATE/munge.run/socket
AccountingStorageEnforce=limits,qos
AccountingStorageTRES=gres/gpu
AccountingStoreFlags=job_comment,job_env,job_script
TrackWCKey=yes

$(node_lines)
PartitionName=DEFAULT Nodes=ALL MaxTime=7-00:00:00 DefaultTime=01:00:00
PartitionName=main Default=YES PriorityTier=10 PreemptMode=OFF
PartitionName=spot PriorityTier=1 PreemptMode=REQUEUE GraceTime=0
PartitionName=spotgrace PriorityTier=1 PreemptMode=REQUEUE GraceTime=10
PartitionName=few PriorityTier=10 PreemptMode=OFF QOS=few
E
}

gres_conf() { echo "NodeName=node[1-${#NODES[@]}] Name=gpu Type=h100 File=$STATE/gpu[0-$((GPUS - 1))]"; }

slurmdbd_conf() {
  cat <<E
AuthType=auth/munge
AuthInfo=socket=$STATE/munge.run/socket
AuthAltTypes=auth/jwt
AuthAltParameters=jwt_key=$STATE/jwt.key
DbdHost=login
DbdAddr=127.0.0.1
DbdPort=$DBD_PORT
SlurmUser=root
PidFile=$STATE/run/slurmdbd.own
LogFile=$STATE/log/slurmdbd.log
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=slurm
StoragePass=slurm
StorageLoc=slurm
TrackWCKey=yes
E
}

sshd_conf() {
  cat <<E
Port $SSH_PORT
ListenAddress 127.0.0.1
HostKey $STATE/keys/host
PidFile none
AuthorizedKeysFile $STATE/keys/%u.pub
AllowUsers ${USERS[*]}
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
UseDNS no
LogLevel VERBOSE
# many tests at once are not an attack; sessions on a connection stay at sshd's own limit, 10
MaxStartups 100:30:200
Subsystem sftp internal-sftp
E
}

client_conf() {
  local user
  for user in "${USERS[@]}"; do
    cat <<E
Host $user
  HostName 127.0.0.1
  Port $SSH_PORT
  User $user
  IdentityFile $STATE/keys/$user
  IdentitiesOnly yes
  UserKnownHostsFile $STATE/known_hosts
  StrictHostKeyChecking yes
E
  done
}

describe() {
  cat <<E
{
  "state": "$STATE",
  "host": "127.0.0.1",
  "ssh_port": $SSH_PORT,
  "rest_port": $REST_PORT,
  "out_of_memory": "$(have_cgroups && echo OUT_OF_MEMORY || echo FAILED)",
  "rest_socket": "$STATE/rest/socket",
  "known_hosts": "$(cat "$STATE/known_hosts")",
  "nodes": [$(printf '"%s",' "${NODES[@]}" | sed 's/,$//')],
  "users": [$(printf '"%s",' "${USERS[@]}" | sed 's/,$//')]
}
E
}
