# coreutils, find, grep, sed and awk over thousands of files.
set -eu
cd "$(mktemp -d)"
for d in $(seq 1 30); do
    mkdir -p "tree/d$d/sub"
    for f in $(seq 1 40); do echo "file $f in $d: $((f * d))" >"tree/d$d/sub/f$f"; done
done
find tree -type f | wc -l
grep -r 'in 7:' tree | sort | head -n 3
grep -rl ': 1200$' tree | sort
sed -n 's/^file \([0-9]*\) in 5: /\1=/p' tree/d5/sub/* | sort -t= -k2n | tail -n 2
awk '{s += $5} END {print s}' tree/*/sub/*
cp -a tree copy && diff -r tree copy && echo same
mv copy/d1 copy/moved && ls copy | wc -l
ln copy/moved/sub/f1 hard && ln -s copy/moved/sub/f2 soft && cat hard soft && stat -c %h hard
chmod 640 hard && stat -c '%A %s' hard
truncate -s 100000 sparse && stat -c %s sparse && cmp -n 1000 sparse /dev/zero && echo zeros
dd if=/dev/zero of=big bs=64k count=32 2>/dev/null && wc -c <big && md5sum big
sort -R tree/d3/sub/* | sort | sha256sum
du -a tree | wc -l
touch -d '2020-02-03 04:05:06 UTC' hard && date -u -r hard
rm -rf tree copy && ls
head -c 300000 /dev/zero | tr '\0' x | fold -w 99 | tail -n 1 | wc -c
split -b 1000 -d sparse part. && ls part.* | wc -l && cat part.* | cmp - sparse && echo joined
tee a b <hard >/dev/null && paste a b
comm -12 <(seq 1 10) <(seq 5 15 | sort) | wc -l
printf '%s\n' 3 1 2 | sort -n | xargs echo
test -w /etc/passwd && echo "writable" || echo "not writable"
readlink -f soft | sed 's,.*/,,' || true
stat -f -c %T . >/dev/null && echo statfs
