# perl: files, processes, sorting, regular expressions, sockets pairs, signals.
perl -e '
use strict; use warnings; use Socket; use IO::Handle; use File::Temp qw(tempdir); use POSIX ":sys_wait_h";
my $d = tempdir(CLEANUP => 1);
for my $i (1..200) { open(my $f, ">", "$d/$i") or die; print $f "line $i\n" x $i; close $f; }
my $n = 0; opendir(my $h, $d) or die; while (my $e = readdir $h) { next if $e =~ /^\./; open(my $f, "<", "$d/$e") or die; $n++ while <$f>; } print "lines $n\n";
socketpair(my $a, my $b, AF_UNIX, SOCK_STREAM, PF_UNSPEC) or die; $a->autoflush(1);
my $pid = fork(); if (!$pid) { close $a; my $l = <$b>; exit(length $l); } close $b; print $a "hello child\n"; waitpid($pid, 0); print "child ", $? >> 8, "\n";
$SIG{ALRM} = sub { die "alarm\n" }; eval { alarm 1; select(undef, undef, undef, 10); }; print $@;
my @w = map { chomp; $_ } `printf "b\na\nc\n" | sort`; print "@w\n";
my %h; $h{$_ % 7}++ for 1..1000; print join(",", map { "$_=$h{$_}" } sort keys %h), "\n";
print "matched $1\n" if "key=value42" =~ /(\d+)$/;
local $| = 1; system("sh", "-c", "exit 5"); print $? >> 8, "\n";
'
