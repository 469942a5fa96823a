# tar, gzip, xz and bzip2 over thousands of files.
set -eu
cd "$(mktemp -d)"
mkdir src
for i in $(seq 1 2000); do echo "content of $i" >"src/$i.txt"; done
ln -s 1.txt src/link && ln src/2.txt src/hard && chmod 4755 src/3.txt
for c in gzip xz bzip2; do
    tar -cf "a.$c" --use-compress-program=$c src
    mkdir "out.$c" && tar -xf "a.$c" -C "out.$c" --use-compress-program=$c
    diff -r src "out.$c/src" && echo "$c fine"
    stat -c '%a %h' "out.$c/src/3.txt" "out.$c/src/hard"
    readlink "out.$c/src/link"
done
tar -tf a.gzip -z | wc -l
cat src/*.txt | gzip -9 | gzip -dc | md5sum
find src -name '*9.txt' | sort | tar -cf - -T - | tar -tf - | tail -n 1
