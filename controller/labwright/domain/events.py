"""events.jsonl: the one file format that job and controller share (docs/spec/job-dir.md).

One JSON object a line, appended whole; any language can write it. `t` is seconds since the epoch.

  {"t":…,"e":"metric","step":3,"m":{"loss":0.1,"acc":0.9}}     values: numbers, or "NaN" "Infinity" "-Infinity"
  {"t":…,"e":"progress","v":42.0}                              percent
  {"t":…,"e":"log","m":"text"}
  {"t":…,"e":"config","v":{…}}                                 what the script says its configuration is
  {"t":…,"e":"artifact","path":"model.pt","kind":"model","size":12,"sha256":"…","meta":{…}}   below artifacts/
  {"t":…,"e":"checkpoint","path":"step-3","step":3,"size":12,"sha256":"…"}                   below checkpoints/
  {"t":…,"e":"finish","score":{"eval/loss":0.3},"m":"text"}
  {"t":…,"e":"error","m":"text"}

The same keys with a `rank` belong to `events.<rank>.jsonl`. Unknown `e` words are kept as events and otherwise ignored.
"""
