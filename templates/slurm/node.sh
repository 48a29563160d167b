# Starts one script on each node of a job, as a child of srun: bash node.sh COMMAND…
export NODE_RANK=$SLURM_NODEID
read -r stat </proc/self/stat
read -r _ _ _ session _ <<<"${stat##*) }"
[[ $NODE_RANK == 0 ]] && echo "$SLURM_STEP_ID" >"$LAB_JOB_DIR/.step" # for the wrapper, which is on this node
tell() { # processes of this node that listen for USR1, once the wrapper says that the time is nearly up
  until [[ -e $LAB_JOB_DIR/notice ]]; do sleep 5; done
  local p s of key value
  for p in /proc/[0-9]*; do
    { read -r s <"$p/stat"; } 2>/dev/null || continue
    read -r _ _ _ of _ <<<"${s##*) }"
    [[ $of == "$session" ]] || continue
    while read -r key value _; do
      [[ $key == SigCgt: ]] && ((0x$value & 0x200)) && kill -USR1 "${p#/proc/}"
    done <"$p/status"
  done
}
kills() { # as in run.sh, of what srun started here
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
tell 2>/dev/null &
teller=$! ended=
trap 'told=1 ended=1; kill -TERM -- "-$child" 2>/dev/null' TERM # where Slurm follows processes by cgroups, it tells the first one alone
set -m
"$@" &
child=$!
set +m
while :; do
  told=
  wait "$child"
  code=$?
  [[ $told ]] || break
done
[[ $code == 0 ]] || ! kills || ((killed == killed_before)) || : >"$LAB_JOB_DIR/oom"
[[ $code == 0 || $ended ]] || { set -o noclobber; echo "$code" >"$LAB_JOB_DIR/.failed-$SLURM_STEP_ID"; } 2>/dev/null # the first of them
kill "$teller" 2>/dev/null
exit "$code"
