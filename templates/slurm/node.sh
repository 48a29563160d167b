# Starts one script on each node of a job, as a child of srun: bash node.sh COMMAND…
export NODE_RANK=$SLURM_NODEID
read -r stat </proc/self/stat
read -r _ _ _ session _ <<<"${stat##*) }"
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
tell 2>/dev/null &
teller=$!
"$@"
code=$?
kill "$teller" 2>/dev/null
exit "$code"
