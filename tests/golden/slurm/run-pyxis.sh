#!/usr/bin/env bash
# Runs one attempt and writes what became of it (docs/spec/job-dir.md). It needs no controller: time limit, grace and the
# exit record are kept here. bash >= 4.4; builtins wherever they will do, for a job may last milliseconds.
set -u
mapfile -d '' -t given </proc/self/environ # the task's variables may be called as those here
dir=${0%/*} token=${0%/*}
token=${token##*/} # the attempt's folder bears its name
ended='/home/lab'"'"'s/labwright/lab/ended'
grace=30.0
job_path=$PATH PATH=$1 # the task may set PATH as it likes: the wrapper's own tools are the node's
srun=$(command -v srun) restarts=${SLURM_RESTART_COUNT:-0}
reason= child= stopping= over= running= phase=setup code=143 signal= timer= killer=

now() { # sets t: seconds since the epoch, with a point whatever the locale
  t=${EPOCHREALTIME-}
  [[ $t ]] || t=$(date +%s.%N)
  t=${t/,/.}
}

stop() { # the first call counts: TERM to the user's processes, KILL after the grace period
  [[ $stopping || $over ]] && return
  stopping=1
  [[ $reason ]] || { [[ -e $dir/cancel ]] && reason=cancelled; }
  [[ $child ]] && end_child
}
end_child() {
  set -m
  (through_srun || kill -TERM -- "-$child"; sleep "$grace" && kill -KILL -- "-$child") 2>/dev/null &
  killer=$!
  set +m
  disown "$killer"
}
through_srun() { # TERM to what srun started: srun itself would end it at once, without a grace period
  local step
  read -r step <"$dir/.step" && timeout -k 1 10 scancel --quiet --signal=TERM "$SLURM_JOB_ID.$step"
}
failed_first() {
  local step first=$code
  read -r step <"$dir/.step" && read -r first <"$dir/.failed-$step"
  echo "${first:-$code}"
} 2>/dev/null
trap 'poked=1; stop' TERM
trap 'poked=1; [[ $stopping || $over ]] || reason=timeout; stop' USR2
trap 'poked=1; notice' USR1
trap 'poked=1' HUP INT # not ignored: what is ignored here would be ignored in the job

notice() { # the time is nearly up: those of the job's processes that listen for USR1 are told; it would kill the others
  [[ $child && ! $stopping && ! $over ]] || return
  : >"$dir/notice" # for other nodes
  local p s of key value
  for p in /proc/[0-9]*; do
    { read -r s <"$p/stat"; } 2>/dev/null || continue
    read -r _ _ of _ <<<"${s##*) }"
    [[ $of == "$child" ]] || continue
    while read -r key value _; do
      [[ $key == SigCgt: ]] && ((0x$value & 0x200)) && kill -USR1 "${p#/proc/}"
    done <"$p/status"
  done 2>/dev/null
}

# The first act: the claim. noclobber opens with O_EXCL, so of two copies of one token only one goes on.
read -r stat </proc/self/stat
read -r _ _ _ session _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ start _ <<<"${stat##*) }"
read -r boot </proc/sys/kernel/random/boot_id
read -r node </proc/sys/kernel/hostname
key=${LAB_PROVIDER_JOB:--}
set -o noclobber
if ! echo "$$ $start $boot $key" >"$dir/claim"; then
  read -r _ _ _ owner <"$dir/claim"
  [[ $key != - && $key == "$owner" ]] || exit 0 # a second copy; a requeue of the same provider job goes on
  echo "$$ $start $boot $key" >|"$dir/claim"
  rm -f -- "$dir"/{notice,oom,term} # of the life before
fi 2>/dev/null
set +o noclobber
[[ -e $dir/exit.json ]] && exit 0 # requeued after its end
now
started=$t

sweep() { # kill what the job left behind in its session
  [[ $child ]] && kill -KILL -- "-$child" 2>/dev/null
  [[ $session == "$$" ]] || return
  local last p s
  read -r _ _ _ _ last </proc/loadavg
  # What a short job left has a process id between ours and the newest; the whole of /proc is read only for longer ones.
  if ((SECONDS < 2 && last > $$ && last - $$ < 500)); then
    for ((p = $$ + 1; p <= last; p++)); do sweep_one "$p"; done
  else
    for p in /proc/[0-9]*; do sweep_one "${p#/proc/}"; done
  fi
}
sweep_one() {
  local s of
  { read -r s <"/proc/$1/stat"; } 2>/dev/null || return
  read -r _ _ _ of _ <<<"${s##*) }"
  [[ $of == "$$" && $1 != "$$" ]] && kill -KILL "$1" 2>/dev/null
}

group_lives() { # kill -0 does not do: it counts the dead whose new parent is slow to ask
  kill -0 -- "-$child" 2>/dev/null || return
  local p s state of
  for p in /proc/[0-9]*; do
    { read -r s <"$p/stat"; } 2>/dev/null || continue
    read -r state _ of _ <<<"${s##*) }"
    [[ $of == "$child" && $state != Z ]] && return
  done
  return 1
}

step() { # runs a script in work/ as a process group of its own; sets code and signal
  local poked=
  rm -f -- "$dir/.step" "$dir"/.failed-*
  set -m
  (
    set -- "${given[@]}" "PATH=$job_path" "" "${outer[@]}" "${inner[@]}" "$1"
    while [[ $1 ]]; do
      [[ ${1%%=*} == @(PWD|OLDPWD|SHLVL|_|UID|EUID|PPID|BASHOPTS|SHELLOPTS) ]] || { unset -v "${1%%=*}" && export -- "$1"; }
      shift
    done 2>/dev/null
    shift
    exec "$@"
  ) </dev/null {died}>&- &
  child=$!
  set +m
  [[ $stopping ]] && end_child
  while :; do
    poked=
    wait "$child" 2>&"$died"
    code=$?
    [[ $poked ]] || break
  done
  [[ $phase == run ]] && over=1
  [[ $code != 0 ]] && code=$(failed_first) # srun says how the others ended, which it ended itself
  # bash names the signal on stderr when there was one (an exit status of 137 alone does not say), but for these three
  signal=
  case $code in
  130 | 141 | 143) signal=$((code - 128)) ;;
  *) [[ $code -gt 128 && -s $dir/.died ]] && signal=$((code - 128)) ;;
  esac
  if [[ $killer ]]; then # the leader may be gone while others of its group still save their work
    while kill -0 "$killer" && group_lives; do sleep 0.05; done 2>/dev/null
    kill -KILL -- "-$killer" 2>/dev/null
  fi
}

kills() { # sets killed: how many processes of this cgroup the kernel has ended for their memory, as far as it says
  local line file word n
  killed=0
  while IFS= read -r line; do
    case $line in
    0::/*) file=/sys/fs/cgroup${line#0::}/memory.events ;;
    *:memory:/*) file=/sys/fs/cgroup/memory${line#*:memory:}/memory.oom_control ;;
    *) continue ;;
    esac
    [[ -r $file ]] || continue
    while read -r word n; do [[ $word == oom_kill ]] && killed=$n; done <"$file"
  done </proc/self/cgroup
} 2>/dev/null
kills
killed_before=$killed

hash_artifacts() { # here and not on the login node
  [[ -n $(find "$dir/artifacts" -type f -print -quit) ]] || return
  (cd "$dir/artifacts" && find . -type f -printf '%P\0' | head -zn 10000 | xargs -0r sha256sum -z --) >"$dir/.artifacts" &&
    mv -f "$dir/.artifacts" "$dir/artifacts.sha256"
} 2>/dev/null

write_exit() {
  printf '{"token": "%s", "phase": "%s", "code": %d, "signal": %s, "reason": %s, "started": %s, "running": %s, "ended": %s, "node": "%s", "restarts": %d}\n' \
    "$token" "$phase" "$code" "${signal:-null}" "${reason:+\"}${reason:-null}${reason:+\"}" "$started" "${running:-null}" "$t" "$node" "$restarts" \
    >"$dir/exit.json.tmp"
}

finish() {
  over=1
  [[ $timer ]] && kill -KILL -- "-$timer" 2>/dev/null
  sweep
  [[ -e $dir/oom && $code != 0 ]] && reason=oom
  [[ $code != 0 && ! $stopping ]] && kills && ((killed > killed_before)) && reason=oom
  if [[ $stopping && ! $reason ]]; then # Slurm ended it, and knows why: time limit, preemption, a failing node
    : >"$dir/term" # but of a job that ends with 0 it says COMPLETED
    exit "$code"
  fi
  hash_artifacts
  now
  for ((n = 0; n < 600; n++)); do # a disk that is full may have room again: an end without a record would count as a crash
    write_exit && mv -f -- "$dir/exit.json.tmp" "$dir/exit.json" && break
    [[ -d $dir ]] || exit 1 # its folder was removed: nobody will ask
    sleep 1
  done 2>/dev/null
  : >"$ended/$token"
  exit 0
}

if [[ ! -d $dir/work ]]; then # a requeued job finds its own again
  rm -rf -- "$dir/.work" && mkdir -p "$dir/.work/"'' &&
    cp -RP --remove-destination -- '/home/lab'"'"'s/labwright/lab/bundles/0123'/. "$dir/.work" && mv -T -- "$dir/.work" "$dir/work"
fi || { echo "lab: the task's files could not be copied to $dir/work"; code=1; finish; }
exec {died}>"$dir/.died" && cd -- "$dir/"work || { code=1; finish; }
unset OLDPWD
[[ -e $dir/cancel ]] && reason=cancelled
[[ $reason || $stopping ]] && finish
inner=("$BASH" -eo pipefail)
outer=()
outer=("$srun" --nodes=1 --ntasks=1 --ntasks-per-node=1 --kill-on-bad-exit=1 --container-image='nvcr.io#nvidia/it'"'"'s:1' --container-mounts='/home/lab'"'"'s/labwright/lab:/home/lab'"'"'s/labwright/lab' --chdir="$PWD" "$BASH" -p "$dir/node.sh")
now
running=$t phase=run
echo "run $t" >>"$dir/phase"
step "$dir/main.sh"
finish
