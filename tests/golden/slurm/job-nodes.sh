#!/bin/bash
#SBATCH --job-name=lab-abcdefghijka-1
#SBATCH --comment="task=alpha/train commit=cccccccccccc user=Ada__ada@example.org_ trials=1"
#SBATCH --account=ada-lab
#SBATCH --qos=low
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gres=gpu:4
#SBATCH --output="/home/lab's/labwright/lab/batches/lab-abcdefghijka-1.01/slurm-%j.out"
#SBATCH --chdir="/home/lab's/labwright/lab"
#SBATCH --open-mode=append
#SBATCH --no-requeue
# 1 trial of alpha/train. What runs is in this script's own folder: main.sh, setup.sh, trials.tar, run.sh (the wrapper).
root='/home/lab'"'"'s/labwright/lab'
batch=$root/batches/lab-abcdefghijka-1.01
own_path=$PATH setsid=$(type -P setsid)
exec 9>&2
fail() { # 78: the job could not be set up; the reason is in slurm-*.out, which the controller reads, and in log.txt once there is one
  echo "lab: $*" >&9
  [[ /dev/fd/2 -ef /dev/fd/9 ]] || echo "lab: $*" >&2
  exit 78
}
type module &>/dev/null || for file in /etc/profile.d/{modules,lmod,z00_lmod,z00-lmod}.sh; do [[ -r $file ]] && . "$file"; done
for name in cuda/12.4 'it'"'"'s'; do
  module load "$name" || fail "module load $name does not work on $(hostname)"
done
own_path=$PATH
MASTER_ADDR=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
export MASTER_ADDR MASTER_PORT=$((20000 + SLURM_JOB_ID % 20000)) LOCAL_WORLD_SIZE=4 WORLD_SIZE=8 NODE_RANK=0

start() { # trial → its folder, and the wrapper in the place of this shell
  local token job pairs sealed to from
  mapfile -s "$1" -n 1 -t token <"$batch/tokens"
  job=$root/jobs/${token:?}
  mkdir -p "$job/artifacts" "$job/checkpoints" "$job/needs" && exec >>"$job/log.txt" 2>&1 || fail "$job cannot be written"
  tar -C "$job" --strip-components=1 --no-same-owner -xf "$batch/trials.tar" "$1" || fail "trials.tar cannot be read"
  for file in run.sh main.sh setup.sh environment.sh node.sh; do
    [[ -e $batch/$file ]] && ln -sfn "../../batches/lab-abcdefghijka-1.01/$file" "$job/$file"
  done
  while IFS= read -rd '' to && IFS= read -rd '' from; do
    [[ -d $job/needs/$to ]] && continue
    [[ -d $from ]] || fail "needs: the artifacts in $from are no longer there"
    mkdir -p "$job/needs/${to%/*}"
    cp -rlP -- "$from" "$job/needs/$to" 2>/dev/null || { rm -rf -- "${job:?}/needs/$to"; cp -rP -- "$from" "$job/needs/$to"; }
    find "$job/needs/$to" -type f -exec chmod a-w {} + 2>/dev/null
  done <"$job/needs.list"
  unset LAB_UNLOCK
  mapfile -d '' -t pairs <"$job/variables"
  IFS= read -r from <"$job/resume" && [[ -d $from ]] && export LAB_RESUME_FROM=$from
  export LAB_JOB_DIR=$job LAB_NEEDS_DIR=$job/needs LAB_PROVIDER_JOB=${SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}${SLURM_ARRAY_TASK_ID:+_$SLURM_ARRAY_TASK_ID}
  cd "$job" || fail "$job is gone"
  set -- "${pairs[@]}" "" "$BASH" -p "$job/run.sh" "$own_path"
  while [[ $1 ]]; do # a variable of the task may be called as one of these here
    unset -v "${1%%=*}"
    export -- "$1"
    shift
  done 2>/dev/null
  shift
  exec "$@" 9>&-
}

start "${SLURM_ARRAY_TASK_ID:-0}"
