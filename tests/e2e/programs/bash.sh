# Shell: pipes, here-documents, subshells, traps, background jobs, wait, arithmetic, arrays, process substitution.
set -u
echo one two three | tr ' ' '\n' | sort -r | head -n 2
cat <<END
here $((6 * 7)) document
END
cat <<<"here string"
(cd /usr && pwd; exit 3); echo "subshell $?"
trap 'echo trapped USR1' USR1
kill -USR1 $$
trap 'echo bye' EXIT
for i in 1 2 3; do (sleep 0.0$i; exit $i) & pids[$i]=$!; done
for i in 1 2 3; do wait "${pids[$i]}"; echo "job $i: $?"; done
seq 1 20000 | awk '{s += $1} END {print s}'
diff <(printf 'a\nb\n') <(printf 'a\nc\n'); echo "diff $?"
f=$(mktemp); exec 5>"$f"; echo "by descriptor" >&5; exec 5>&-; cat "$f"; rm "$f"
a=(x y z); echo "${#a[@]} ${a[-1]} ${a[*]:1}"
read -r first rest <<<"alpha beta gamma"; echo "$rest/$first"
timeout 0.1 sleep 10; echo "timeout $?"
sh -c 'kill -TERM $$'; echo "killed $?"
yes | head -n 100000 | wc -l
ulimit -n 64; ulimit -n
mkfifo /tmp/fifo.$$; (echo through fifo >/tmp/fifo.$$ &) ; cat /tmp/fifo.$$; rm /tmp/fifo.$$
set -o pipefail; false | true; echo "pipefail $?"
umask 027; touch /tmp/um.$$; stat -c %a /tmp/um.$$; rm /tmp/um.$$
coproc cat; echo to coproc >&"${COPROC[1]}"; read -r line <&"${COPROC[0]}"; echo "$line"
