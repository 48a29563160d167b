#!/usr/bin/env bash
# What the controller asks of a cluster's login node, one call each: bash remote.sh ROOT COMMAND [ARGUMENT…]. It needs bash,
# coreutils, tar, find, grep and Slurm's commands, starts nothing that stays, and answers in lines (docs/spec/slurm-admin.md).
set -u
root=$1 command=$2
shift 2
unset "${!SQUEUE_@}" "${!SACCT_@}" "${!SCANCEL_@}" "${!SINFO_@}" # a filter in somebody's profile would hide jobs from us
export LC_ALL=C SLURM_BITSTR_LEN=0 SLURM_TIME_FORMAT=%s
shopt -s nullglob

flat() { # a text as one field: without tabs and ends of lines
  local text
  IFS= read -rd '' -n 16384 text
  text=${text//[$'\t\r\n']/ }
  printf '%s' "${text%% }"
}

# files

prepare() { # OWNER: the folders, and whose they are
  mkdir -p "$root"/{jobs,batches,bundles,environments,sources,tools,ended,tmp} || exit 73
  [[ -s $root/owner ]] || printf '%s\n' "$1" >"$root/owner" || exit 73
  cat "$root/owner"
  cd "$root" && pwd -P
  printf '%s\n' "$HOME" "$(id -un)" "$(date +%s.%N)" "$(uname -sm)"
  command -v uv || echo -
}

have() { # of the names on standard input, those that are there; they count as used
  local name there=()
  while IFS= read -r name; do [[ -e $root/$name ]] && there+=("$name"); done
  ((${#there[@]})) || return 0
  (cd "$root" && printf '%s\0' "${there[@]}" | xargs -0 touch -c --)
  printf '%s\n' "${there[@]}"
}

place() { # NAMES: these folders, in the tar on standard input by their names, each whole or not at all
  local made kind name
  made=$(mktemp -d "$root/tmp/XXXXXX") || exit 73
  tar -C "$made" --no-same-owner -xzf - || { rm -rf -- "$made"; exit 73; }
  for kind in "$made"/*; do mv -n -t "$root/${kind##*/}" -- "$kind"/*; done # what is there already stays
  rm -rf -- "$made"
  for name; do [[ -e $root/$name ]] || exit 73; done
}

# submission

names=() jobs=() keys=()
laid() { # batches named on standard input ("NAME JOB KEY"), then an empty line, then their folders as a tar; for what starts jobs
  local name job key made
  while IFS=' ' read -r name job key && [[ $name ]]; do
    names+=("$name") jobs+=("$job") keys+=("$key")
  done
  made=$(mktemp -d "$root/tmp/XXXXXX") && tar -C "$made" --no-same-owner -xzf - || { rm -rf -- "$made"; exit 73; }
  mv -n -t "$root/batches" -- "$made"/* || exit 73
  rmdir -- "$made"
  for name in $(compgen -e); do # a job's environment is its task's: nothing of this login's; SBATCH_* would even win over #SBATCH
    case $name in HOME | USER | LOGNAME | SHELL | PATH | LANG | TZ | SLURM_CONF | SLURM_CONF_SERVER | SLURM_CLUSTERS | SLURM_JWT | MODULEPATH | MODULESHOME | LMOD_* | KRB5CCNAME) ;; *) export -n "$name" ;; esac
  done
}

submit() { # SECONDS: batches as `laid` takes them, in four lanes
  local lane
  laid
  for lane in 0 1 2 3; do
    for ((n = lane; n < ${#names[@]}; n += 4)); do submit_one "$1" "${names[n]}" "${jobs[n]}" "${keys[n]}"; done &
  done
  wait
}

lay() { # the same, for somebody else to submit: those that are claimed now, an empty line, the environment as NUL-ended pairs
  local name
  laid
  for name in "${names[@]}"; do claim "$root/batches/$name" && printf '%s\n' "$name"; done
  echo
  export -n SLURM_JWT
  export SLURM_SUBMIT_DIR=$PWD SLURM_SUBMIT_HOST=$HOSTNAME
  env -0
}

settle() { # "NAME JOB ID" lines of batches that were laid: the job id, - (not in the queue) or ? (Slurm does not say) of each
  local name job id
  while read -r name job id; do
    [[ $id != - ]] || id=$(queued "$job") || id='?'
    [[ $id =~ ^[0-9]+$ ]] && keep "$root/batches/$name" "$id"
    printf '%s\t%s\n' "$name" "${id:--}"
  done
}

submit_one() { # one line: batch, sbatch's exit status, job id or -, its words
  local batch=$root/batches/$2 id code said=
  claim "$batch" || { printf '%s\t-\t-\t%s\n' "$2" "taken"; return; }
  unset LAB_UNLOCK
  [[ $4 == - ]] || export LAB_UNLOCK=$4
  timeout -k 5 "$1" sbatch --parsable "$batch/job.sh" >"$batch/sbatch.out" 2>"$batch/sbatch.err" </dev/null
  code=$?
  IFS='; ' read -r id _ <"$batch/sbatch.out"
  [[ $code == 0 && $id =~ ^[0-9]+$ ]] || id=$(queued "$3") || code=? # it may say no and have taken it
  [[ $id =~ ^[0-9]+$ ]] && keep "$batch" "$id"
  [[ -s $batch/sbatch.err ]] && said=$(flat <"$batch/sbatch.err")
  printf '%s\t%s\t%s\t%s\n' "$2" "$code" "${id:--}" "$said"
}

claim() { # BATCH: true for one caller, once and for all
  local code
  set -C
  { printf '' >"$1/asked"; } 2>/dev/null
  code=$?
  set +C
  return "$code"
}

keep() { printf '%s\n' "$2" >"$1/jobid"; } # one write(2): whoever reads it finds all of it, or an empty file

queued() { # NAME: the id of the job of that name, if Slurm has one; fails when Slurm does not say
  local found
  found=$(timeout -k 5 30 squeue --me --noheader --states=all --name="$1" --format=%F) || return
  [[ $found ]] && printf '%s\n' "${found%%$'\n'*}"
  return 0
}

accounted() { # NAME SINCE: the same, of the accounting; fails when that does not say or there is none
  local found
  found=$(timeout -k 5 30 sacct -X -n -P --name="$1" --starttime="$2" --format=JobIDRaw,JobID 2>/dev/null) || return
  found=${found%%$'\n'*} found=${found#*|}
  [[ $found ]] && printf '%s\n' "${found%%[!0-9]*}"
  return 0
}

find_tokens() { # SECONDS: of the tokens on standard input: token, batch, place, job id, or - (certainly none) or ? (nobody knows)
  local file line token batch at id
  cd "$root/batches" || exit 0
  grep -rnFx --include=tokens -f - . 2>/dev/null | while IFS=: read -r file line token; do
    batch=${file#./} batch=${batch%/tokens}
    [[ ${known[$batch]-} ]] || known[$batch]=$(decide "$1" "$batch")
    printf '%s\t%s\t%d\t%s\n' "$token" "$batch" "$((line - 1))" "${known[$batch]}"
  done
}
declare -A known=()

decide() { # SECONDS BATCH: its job id, - or ?
  local batch=$root/batches/$2 id age job
  [[ -s $batch/jobid ]] && { echo "$(<"$batch/jobid")"; return; }
  [[ -e $batch/refused ]] && { echo -; return; }
  claim "$batch" && { : >"$batch/refused"; echo -; return; } # a late sbatch finds it taken
  job=$(<"$batch/name") age=$(($(date +%s) - $(stat -c %Y "$batch/asked")))
  id=$(queued "$job") || { echo '?'; return; }
  [[ $id ]] && { keep "$batch" "$id"; echo "$id"; return; }
  ((age > $1 + 40)) || { echo '?'; return; } # sbatch, or slurmctld with its call, may still be under way
  id=$(accounted "$job" "$(date -d "@$(stat -c %Y "$batch/asked")" +%Y-%m-%dT%H:%M:%S)") || id=
  [[ $id ]] && { keep "$batch" "$id"; echo "$id"; return; }
  : >"$batch/refused"
  echo -
}

refuse() { # batches on standard input that Slurm certainly does not have
  local name
  while IFS= read -r name; do [[ -d $root/batches/$name ]] && : >"$root/batches/$name/refused"; done
}

# observation

look() { # USERS or -: what changed. E = exit record, P = phases of a token asked for on standard input, Q = a line of squeue
  local token text pid start boot key stop
  cd "$root" || exit 73
  while IFS= read -r token; do
    if [[ -e jobs/$token/exit.json ]]; then
      ended "$token"
    elif [[ -d jobs/$token ]]; then
      key= text= stop=
      [[ -e jobs/$token/cancel ]] && stop=stop
      [[ -f jobs/$token/claim ]] && read -r pid start boot key <"jobs/$token/claim" && key=${key:--}
      [[ -f jobs/$token/phase ]] && IFS= read -rd '' -n 1000 text <"jobs/$token/phase"
      text=${text//$'\n'/;}
      printf 'P\t%s\t%s\t%s\t%s\n' "$token" "${key//$'\t'/ }" "$stop" "${text//$'\t'/ }"
    else
      printf 'N\t%s\n' "$token"
    fi
  done
  cd ended && for token in *; do printf 'M\t%s\n' "$token"; done
  [[ $1 == - ]] || { queue "$1" || { printf 'X\t%s\n' "$text"; exit 0; }; }
  echo .
}

ended() {
  [[ -f jobs/$1/exit.json && ! -L jobs/$1/exit.json ]] || return
  printf 'E\t%s\t%s\n' "$1" "$(flat <"jobs/$1/exit.json")"
}

ends() { # the exit records of the tokens on standard input
  local token
  cd "$root" || exit 73
  while IFS= read -r token; do ended "$token"; done
  echo .
}

queue() { # USERS: every job of theirs that Slurm has in hand, array elements that wait together in one line
  # --local: or each call asks slurmctld about its federation, too
  text=$(timeout -k 5 30 squeue --local --noheader --user="$1" --format='%i|%T|%r|%N|%S|%j' 2>&1) || return
  while IFS= read -r line; do printf 'Q\t%s\n' "$line"; done <<<"$text"
}

vanished() { # IDS: what Slurm still knows of jobs that left the queue. Z = squeue, A = accounting, X = nobody answers
  local text
  if text=$(timeout -k 5 30 squeue --noheader --states=all --jobs="$1" --format='%i|%T|%r|%N|%S|%j' 2>&1); then
    while IFS= read -r line; do [[ $line ]] && printf 'Z\t%s\n' "$line"; done <<<"$text"
  elif [[ $text != *"Invalid job id"* ]]; then
    printf 'X\tsqueue: %s\n' "${text//[$'\t\n']/ }"
  fi
  if text=$(timeout -k 5 60 sacct -X -n -P --jobs="$1" --format=JobID,State,ExitCode,Start,End,NodeList,JobName 2>&1); then
    name_users
    while IFS= read -r line; do [[ $line ]] && printf 'A\t%s\n' "$line"; done <<<"$text"
  else
    printf 'Y\tsacct: %s\n' "${text//[$'\t\n']/ }"
  fi
  echo .
}

name_users() { # in `text`: of `CANCELLED by 1000`, who that is
  local uid name
  while [[ $text =~ \|CANCELLED\ by\ ([0-9]+)\| ]]; do
    uid=${BASH_REMATCH[1]}
    name=$(id -nu -- "$uid" 2>/dev/null) && [[ $name == *[!0-9]* ]] || name="user $uid"
    text=${text//"|CANCELLED by $uid|"/"|CANCELLED by $name|"}
  done
}

words() { # JOB: the last that Slurm itself wrote of it (`7`, `7_1`), for one that left no record
  local file
  for file in "$root"/batches/*/slurm-"$1".out; do tail -c 4000 -- "$file"; done
}

termed() { [[ ! -e $root/jobs/$1/term ]] || echo term; } # TOKEN: whether it ended because somebody else's TERM came

saved() { # TOKEN: the newest complete checkpoint that an attempt has made since it began
  find "$root/jobs/$1/checkpoints" -maxdepth 1 -name '*.json' -newer "$root/jobs/$1/claim" -printf '%T@ %f\n' 2>/dev/null |
    sort -n | tail -n 1 | cut -d' ' -f2-
}

read_streams() { # LIMIT SHARE: "TOKEN FILE=OFFSET …" lines → "TOKEN FILE OFFSET LENGTH" lines, each with its bytes behind it
  local left=$1 share=$2 token pairs pair file size from take
  local -A offset=()
  local files=()
  cd "$root/jobs" || exit 0
  while read -r token pairs; do
    [[ -d $token ]] || continue
    for pair in $pairs; do offset[$token/${pair%=*}]=${pair##*=}; done
    for file in "$token"/{events,events.*}.jsonl "$token/log.txt"; do
      [[ $file =~ ^[^/]*/(log\.txt|events(\.[0-9]{1,9})?\.jsonl)$ && -f $file && ! -L $file ]] && files+=("$file")
    done
  done
  ((${#files[@]})) || return 0
  while IFS= read -rd '' size && IFS= read -rd '' file; do
    from=${offset[$file]-0} take=$((size - from))
    ((take > 0 && left > 0)) || continue
    ((take > share)) && take=$share
    ((take > left)) && take=$left
    left=$((left - take))
    printf '%s %s %d %d\n' "${file%%/*}" "${file##*/}" "$from" "$take"
    { tail -c "+$((from + 1))" -- "$file" 2>/dev/null | head -c "$take"; head -c "$take" /dev/zero; } | head -c "$take" # its job may cut it now
  done < <(printf '%s\0' "${files[@]}" | xargs -0r stat --printf='%s\0%n\0' -- 2>/dev/null)
}

collect() { # TOKEN: three texts, each behind its length: files of artifacts/, environment.json, source.json
  local job=$root/jobs/$1 made
  [[ -d $job ]] || exit 0
  made=$(mktemp -d "$root/tmp/XXXXXX") || exit 73
  if [[ -f $job/artifacts.sha256 && ! -L $job/artifacts.sha256 ]]; then
    head -c 8388608 "$job/artifacts.sha256" >"$made/hashes"
  elif [[ -d $job/artifacts && ! -L $job/artifacts ]]; then
    (cd "$job/artifacts" && find . -type f -printf '%P\0' | head -zn 10000 | xargs -0r nice -n 19 sha256sum -z --) >"$made/hashes" 2>/dev/null
  fi
  [[ -d $job/artifacts && ! -L $job/artifacts ]] && (cd "$job/artifacts" && find . -type f -printf '%s %P\0' | head -zn 20000) >"$made/sizes"
  for file in environment.json source.json; do
    [[ -f $job/$file && ! -L $job/$file ]] && head -c 1048576 "$job/$file" >"$made/$file"
  done
  for file in hashes sizes environment.json source.json; do
    [[ -e $made/$file ]] || : >"$made/$file"
    stat -c %s "$made/$file"
    cat "$made/$file"
  done
  rm -rf -- "$made"
}

fetch() { # PATH OFFSET LENGTH: size of a regular file below jobs/, and bytes of it; 66 for what is none
  local file=$root/jobs/$1/$2/$3
  [[ -f $file && ! -L $file && $(realpath -e -- "$file") == "$(realpath -e -- "$root")/jobs/$1/$2/$3" ]] || exit 66
  stat -c %s -- "$file"
  tail -c "+$(($4 + 1))" -- "$file" | head -c "$5"
}

# stopping and cleaning

waiting() { # IDS…: those of them that wait, for scancel: `7` or `7_[1,2,3]`
  local id job span from to list=
  local -A asked=() found=()
  for id; do
    job=${id%%_*} list+=,${id%%_*}
    [[ $id == *_* ]] || asked[$id]=1
    span=${id#"$job"}
    for span in ${span//[!0-9-]/ }; do
      from=${span%-*} to=${span#*-}
      for ((; from <= to; from++)); do asked[${job}_$from]=1; done
    done
  done
  while read -r id; do
    [[ $id && ${asked[$id]-} ]] && found[${id%%_*}]+=,${id#"${id%%_*}"}
  done < <(timeout -k 5 30 squeue --noheader --array --states=PENDING --jobs="${list#,}" --format=%i)
  for job in "${!found[@]}"; do
    list=${found[$job]//_/}
    [[ $list == , ]] && printf '%s\n' "$job" || printf '%s_[%s]\n' "$job" "${list#,}"
  done
}

cancel() { # HOW IDS: tokens on standard input are marked; jobs that wait are cancelled, those that run are asked by TERM
  local token ids=() waiting=()
  while IFS= read -r token; do
    mkdir -p "$root/jobs/$token" && : >"$root/jobs/$token/cancel"
  done
  read -ra ids <<<"$2" # not $2 itself: `7_[1-3]` is a glob to the shell, and without any id scancel takes every job of the user
  ((${#ids[@]})) || return 0
  if [[ $1 == hard ]]; then
    timeout -k 5 60 scancel --quiet "${ids[@]}"
  else
    if [[ $1 != USR2 ]] && mapfile -t waiting < <(waiting "${ids[@]}") && ((${#waiting[@]})); then
      timeout -k 5 60 scancel --quiet "${waiting[@]}" # not --state=PENDING: of an array that waits, Slurm would take all
    fi
    timeout -k 5 60 scancel --quiet --batch --signal="$1" --state=RUNNING "${ids[@]}"
  fi
  return 0
}

forget() { # tokens on standard input; batches of which every trial was forgotten go too: others of it may still wait
  local token file
  cd "$root" || exit 0
  while IFS= read -r token; do
    rm -rf -- "jobs/${token:?}" "ended/${token:?}"
    printf '%s\n' "$token" >>tmp/forgotten.$$
  done
  grep -rlFx --include=tokens -f "tmp/forgotten.$$" batches 2>/dev/null | while IFS= read -r file; do
    grep -Fxf "tmp/forgotten.$$" -- "$file" >>"${file%/tokens}/forgotten"
    grep -qvFxf "${file%/tokens}/forgotten" -- "$file" || rm -rf -- "${file%/tokens}"
  done
  rm -f -- "tmp/forgotten.$$"
}

marks() { # marks of ended jobs that were taken in
  local token
  while IFS= read -r token; do rm -f -- "$root/ended/$token"; done
}

tidy() { # DAYS: what crashes left half-made, a day old; bundles, environments and sources unused for so long, of which no batch that
  # is left was made
  local old
  find "$root/tmp" -mindepth 1 -maxdepth 1 -mtime +1 -exec rm -rf {} +
  [[ $1 == - ]] && return
  find "$root"/{bundles,environments,sources} -mindepth 1 -maxdepth 1 -mtime "+$1" -print0 | while IFS= read -rd '' old; do
    grep -rqsF --include=run.sh -- "${old#"$root/"}" "$root/batches" || rm -rf -- "$old"
  done
}

list() { # USER: every job of theirs that Slurm has in hand (Q: as a line of squeue, with its folder before its name), and of
  # batches here (I: its id) each trial that has not ended (L: id, batch, place, token); B = the name of a batch of which no id is known
  local text line id name batch place token
  local -A there=()
  text=$(timeout -k 5 60 squeue --local --noheader --user="$1" --format='%i|%T|%r|%N|%S|%Z|%j' 2>&1) || { printf 'X\t%s\n' "${text//[$'\t\n']/ }"; return; }
  while IFS='|' read -r id line; do
    [[ $line ]] && there[${id%%_*}]=1 && printf 'Q\t%s|%s\n' "$id" "$line"
  done <<<"$text"
  for batch in "$root"/batches/*/; do
    id= name=
    [[ -s $batch/jobid ]] && read -r id <"$batch/jobid"
    [[ $id ]] || { IFS= read -rd '' name <"$batch/name"; printf 'B\t%s\n' "$name"; continue; }
    [[ ${there[$id]-} ]] || continue
    batch=${batch%/} place=0
    printf 'I\t%s\n' "$id"
    while IFS= read -r token; do
      [[ -e $root/jobs/$token/exit.json ]] || printf 'L\t%s\t%s\t%d\t%s\n' "$id" "${batch##*/}" "$place" "$token"
      place=$((place + 1))
    done <"$batch/tokens"
  done
  echo .
}

facts() { # what the cluster has and allows; 75 where it does not say
  local nodes
  scontrol --version
  timeout 30 scontrol show config 2>&1 | grep -E '^(MaxArraySize|MaxJobCount|PreemptMode|PreemptType|AccountingStorageType|ClusterName|MinJobAge|KillWait|SLURM_VERSION|JobRequeue)\b'
  echo .
  nodes=$(timeout 30 sinfo --noheader --exact --format='%P|%a|%c|%m|%G|%l|%D|%t|%z' 2>&1) || { printf '%s\n' "$nodes" >&2; exit 75; }
  printf '%s\n.\n' "$nodes"
}

case $command in
prepare | have | place | submit | lay | settle | find_tokens | refuse | look | ends | vanished | words | termed | saved | read_streams | collect | fetch | cancel | forget | marks | tidy | list | facts)
  "$command" "$@"
  exit 0 # what cannot be done says so by an exit of its own
  ;;
*) echo "remote.sh: no such command: $command" >&2; exit 64 ;;
esac
