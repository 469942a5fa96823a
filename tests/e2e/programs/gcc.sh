# gcc compiling, linking and running C programs; make with two jobs.
set -e
cd "$(mktemp -d)"
cat >hello.c <<'END'
#include <pthread.h>
#include <stdio.h>
static void *run(void *arg) { return (char *)arg + 1; }
int main(int argc, char **argv) {
    pthread_t t; void *r;
    pthread_create(&t, NULL, run, (void *)41L); pthread_join(t, &r);
    printf("hello %ld %d\n", (long)r, argc);
    return argc;
}
END
gcc -O2 -Wall -pthread -o hello hello.c && { ./hello a b || echo "status $?"; }
gcc -static -pthread -o hello.static hello.c && { ./hello.static || echo "status $?"; }
for i in $(seq 1 8); do echo "int f$i(int x) { return x * $i; }" >"f$i.c"; done
{ for i in $(seq 1 8); do echo "int f$i(int);"; done; echo '#include <stdio.h>
int main(void) { printf("%d\n", f1(f2(f3(f4(f5(f6(f7(f8(1))))))))); return 0; }'; } >main.c
printf 'objs := $(patsubst %%.c,%%.o,$(wildcard f*.c)) main.o\nprog: $(objs)\n\tgcc -o $@ $^\n%%.o: %%.c\n\tgcc -c -O1 -o $@ $<\n' >Makefile
make -s -j2 && ./prog
ar rcs libf.a f1.o f2.o && nm libf.a | grep -c ' T '
