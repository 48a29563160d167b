# π by Leibniz: 4 (1 - 1/3 + 1/5 - 1/7 …), in integers of 1e-15.
terms=$LAB_PARAM_TERMS sum=0 sign=1 unit=4000000000000000
for ((k = 0; k < terms; k++)); do
  ((sum += sign * unit / (2 * k + 1), sign = -sign))
  if (((k + 1) * 10 % terms < 10)); then
    pi="${sum:0:1}.${sum:1}"
    python3 -m lab log "pi=$pi" "step=$((k + 1))"
  fi
done
echo "$pi" >pi.txt
python3 -m lab artifact pi.txt
python3 -m lab finish "pi=$pi"
echo "π is about $pi"
