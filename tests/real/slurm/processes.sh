# The processes of the test-bed: how each daemon is started, found, waited for and stopped. Sourced by `up`.
# shellcheck shell=bash

DAEMONS=(munged sshd mariadbd slurmdbd slurmctld "${NODES[@]}" slurmrestd slurmrestd-jwt)

# inside HOST COMMAND…: becomes the command on that machine
inside() {
  # shellcheck disable=SC2016  # expanded by the inner shell
  exec setsid unshare --uts --mount sh -ec '
    state=$1 host=$2 name=$3; shift 3
    hostname "$host"
    mount --bind "$state/inside" "$state/inside"
    mount --bind "$state/hosts" /etc/hosts
    [ ! -d "$state/tmp/$host" ] || mount --bind "$state/tmp/$host" /tmp
    echo $$ >"$state/run/$name.pid"
    cd /
    exec "$@"' sh "$STATE" "$@"
}

is_ours() { grep -qsF " $STATE/inside " "/proc/$1/mountinfo"; }
members() { grep -lsF " $STATE/inside " /proc/[0-9]*/mountinfo | cut -d/ -f3; }
steps() { local pid; for pid in $(members); do [ "$(cat "/proc/$pid/comm" 2>/dev/null)" != slurmstepd ] || echo "$pid"; done; }
program_of() { case $1 in node*) echo slurmd ;; *) echo "${1%-jwt}" ;; esac; }

pid_of() { cat "$STATE/run/$1.pid" 2>/dev/null; }

# A number in a file may by now be another process, even another of ours
running() {
  local pid
  pid=$(pid_of "$1") && [ -n "$pid" ] && is_ours "$pid" && [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = "$(program_of "$1")" ]
}

everything_runs() { local name; for name in "${DAEMONS[@]}"; do running "$name" || return; done; }

# All of them stay in the foreground, so that their first words reach a log too
command_of() {
  case $1 in
  munged) COMMAND=(setpriv --reuid munge --regid munge --clear-groups munged --foreground --force --key-file "$STATE/munge/key"
    --socket "$STATE/munge.run/socket" --pid-file "$STATE/munge.run/pid" --seed-file "$STATE/munge/seed") ;;
  sshd) mkdir -p /run/sshd && COMMAND=(/usr/sbin/sshd -D -f "$STATE/sshd_config" -E "$STATE/log/sshd.log") ;;
  mariadbd) COMMAND=(mariadbd --no-defaults --user=mysql --datadir="$STATE/db" --socket="$STATE/db.run/socket"
    --pid-file="$STATE/db.run/pid" --skip-networking --innodb-buffer-pool-size=256M --innodb-flush-log-at-trx-commit=2
    --innodb-lock-wait-timeout=900) ;;
  slurmdbd) COMMAND=(env MYSQL_UNIX_PORT="$STATE/db.run/socket" slurmdbd -D) ;; # libmariadb's way to name a socket
  slurmctld) COMMAND=(slurmctld -D) ;;
  # two, since one cannot do both: local users need SLURM_JWT unset, tokens need it to say "daemon"
  slurmrestd) rm -f "$STATE/rest/socket" && COMMAND=(setpriv --reuid lab --regid lab --clear-groups env -u SLURM_JWT
    slurmrestd -a rest_auth/local "unix:$STATE/rest/socket") ;;
  slurmrestd-jwt) COMMAND=(setpriv --reuid nobody --regid nogroup --clear-groups env SLURM_JWT=daemon
    slurmrestd -a rest_auth/jwt "127.0.0.1:$REST_PORT") ;;
  node*) COMMAND=(slurmd -D -N "$1") ;;
  esac
}

ready() {
  case $1 in
  munged) munge -S "$STATE/munge.run/socket" -n | unmunge -S "$STATE/munge.run/socket" ;;
  sshd) listening "$SSH_PORT" ;;
  mariadbd) mariadb -S "$STATE/db.run/socket" -e 'select 1' ;;
  slurmdbd) sacctmgr -n list cluster ;;
  slurmctld) [[ $(scontrol ping) == *UP* ]] ;;
  slurmrestd) [ -S "$STATE/rest/socket" ] ;;
  slurmrestd-jwt) listening "$REST_PORT" ;;
  # slurmctld takes a while to notice that a node is gone: the node must answer, too
  node*) listening $((NODE_PORT + ${1#node})) && [[ $(state_of_node "$1") =~ ^(idle|mixed|allocated|completing|planned)[-+]?$ ]] ;;
  esac >/dev/null 2>&1
}

launch() {
  local host=login
  [[ $1 != node* ]] || host=$1
  rm -f "$STATE/run/$1.pid"
  command_of "$1"
  (inside "$host" "$1" "${COMMAND[@]}") </dev/null >"$STATE/log/$1.out" 2>&1 &
}

# Patient, since other work may have the machine; but a daemon that ended says why at once
await() {
  local began=$SECONDS
  until ready "$1"; do
    if [ $((SECONDS - began)) -ge 90 ] || { [ $((SECONDS - began)) -ge 3 ] && ! running "$1"; }; then
      tail -n 5 "$STATE/log/$1.out" >&2
      die 1 "$1 $(running "$1" && echo "is not ready after 90 s" || echo ended): see $STATE/log"
    fi
    sleep 0.1
  done
}

state_of_node() { sinfo -h -n "$1" -p main -o %T 2>/dev/null; }

start() {
  running "$1" || launch "$1"
  # what sinfo says is a moment old
  if [[ $1 == node* && $(scontrol -o show node "$1" 2>/dev/null) =~ \ State=[A-Z+*_]*(DRAIN|DOWN) ]]; then
    scontrol update nodename="$1" state=resume 2>/dev/null || true # unless it came back by itself meanwhile
  fi
  await "$1"
}

# stop SIGNAL NAME
stop() {
  local pid deadline=$((SECONDS + 30))
  running "$2" || return 0
  pid=$(pid_of "$2")
  kill "-$1" "$pid" 2>/dev/null || true
  [ "$2" != sshd ] || cut_connections # as when a login node goes away
  while running "$2"; do
    [ $SECONDS -lt $deadline ] || kill -KILL "$pid" 2>/dev/null || true
    sleep 0.05
  done
  rm -f "$STATE/run/$2.pid"
}

cut_connections() {
  local pid server
  server=$(pid_of sshd || true)
  for pid in $(members); do
    [ "$pid" = "$server" ] || [ "$(cat "/proc/$pid/comm" 2>/dev/null)" != sshd ] || kill -KILL "$pid" 2>/dev/null || true
  done
}

cancel_jobs() { timeout 20 squeue -h -o %A 2>/dev/null | sort -u | timeout 20 xargs -r scancel -Q 2>/dev/null || true; }

# Steps that slurmctld has forgotten, since it was killed before it wrote its state, are nobody's to end but ours
cancel_jobs_and_wait() {
  local began=$SECONDS pid
  cancel_jobs
  while [ -n "$(steps)" ]; do
    [ $((SECONDS - began)) -lt 12 ] || for pid in $(steps); do kill -KILL "$pid" 2>/dev/null || true; done
    sleep 0.1
  done
}

stop_everything() {
  local name pid
  ! running slurmctld || cancel_jobs
  for name in slurmrestd slurmrestd-jwt slurmctld "${NODES[@]}" slurmdbd mariadbd munged sshd; do stop TERM "$name"; done
  for pid in $(members); do kill -KILL "$pid" 2>/dev/null || true; done # jobs, their steps, sessions
  [ ! -d "$STATE/run" ] || rm -f "$STATE/run"/*
  find /sys/fs/cgroup/{memory,freezer}/slurm_node[1-4] -depth -type d -exec rmdir {} + 2>/dev/null || true
}
