/* Run a command and all its children, count their mutating system calls over all processes and threads, and at the
 * N-th one kill everything (before it, after it, or in the middle of a write) or make it fail, once or from there on.
 *
 *   faultn [-m count|kill|killafter|torn|err|errfrom] [-n N] [-e ERRNO] [-k CLASS,CLASS] [-p PATH] [-s NAME,NAME]
 *          [-l LOG] [-r REPORT] [-x COMMAND] -- COMMAND ARGUMENT...
 *
 * Classes: write sync ns meta open read (default: all but read). -p: only calls on paths that contain PATH. -s: only
 * calls of these names. -l: one line for each call that counted. -r: `calls N`, `fired 0|1` and `exit CODE` at the end.
 * -x: a shell command that runs when the fault fires, before the kill (a power cut, say). Linux on x86-64.
 *
 * seccomp stops the calls, ptrace looks at them: calls that do not count run at full speed.
 *
 * As a library, `faultn` takes the same words and forks: what it returns into is traced, and is the command. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef __x86_64__
#error "the registers are those of x86-64"
#endif

enum { WRITE = 1, SYNC = 2, NS = 4, META = 8, OPEN = 16, READ = 32 };
enum { OPENAT2 = 437, FCHMODAT2 = 452 };
static const unsigned long FICLONE_REQUEST = 0x40049409, FICLONERANGE_REQUEST = 0x4020940d;

/* Which argument is the path, the descriptor, and the second path; -1 for none. */
struct call { int nr; const char *name; int class, path, fd, second; };
static const struct call table[] = {
    {SYS_write, "write", WRITE, -1, 0, -1}, {SYS_pwrite64, "pwrite64", WRITE, -1, 0, -1},
    {SYS_writev, "writev", WRITE, -1, 0, -1}, {SYS_pwritev, "pwritev", WRITE, -1, 0, -1},
    {SYS_pwritev2, "pwritev2", WRITE, -1, 0, -1}, {SYS_sendfile, "sendfile", WRITE, -1, 0, -1},
    {SYS_copy_file_range, "copy_file_range", WRITE, -1, 2, -1}, {SYS_fallocate, "fallocate", WRITE, -1, 0, -1},
    {SYS_ftruncate, "ftruncate", WRITE, -1, 0, -1}, {SYS_truncate, "truncate", WRITE, 0, -1, -1},
    {SYS_ioctl, "ioctl", WRITE, -1, 0, -1},
    {SYS_fsync, "fsync", SYNC, -1, 0, -1}, {SYS_fdatasync, "fdatasync", SYNC, -1, 0, -1},
    {SYS_syncfs, "syncfs", SYNC, -1, 0, -1}, {SYS_sync_file_range, "sync_file_range", SYNC, -1, 0, -1},
    {SYS_sync, "sync", SYNC, -1, -1, -1}, {SYS_msync, "msync", SYNC, -1, -1, -1},
    {SYS_rename, "rename", NS, 0, -1, 1}, {SYS_renameat, "renameat", NS, 1, 0, 3},
    {SYS_renameat2, "renameat2", NS, 1, 0, 3}, {SYS_link, "link", NS, 0, -1, 1}, {SYS_linkat, "linkat", NS, 1, 0, 3},
    {SYS_symlink, "symlink", NS, 1, -1, -1}, {SYS_symlinkat, "symlinkat", NS, 2, 1, -1},
    {SYS_unlink, "unlink", NS, 0, -1, -1}, {SYS_unlinkat, "unlinkat", NS, 1, 0, -1},
    {SYS_mkdir, "mkdir", NS, 0, -1, -1}, {SYS_mkdirat, "mkdirat", NS, 1, 0, -1}, {SYS_rmdir, "rmdir", NS, 0, -1, -1},
    {SYS_mknod, "mknod", NS, 0, -1, -1}, {SYS_mknodat, "mknodat", NS, 1, 0, -1},
    {SYS_chmod, "chmod", META, 0, -1, -1}, {SYS_fchmod, "fchmod", META, -1, 0, -1},
    {SYS_fchmodat, "fchmodat", META, 1, 0, -1}, {FCHMODAT2, "fchmodat2", META, 1, 0, -1},
    {SYS_chown, "chown", META, 0, -1, -1}, {SYS_lchown, "lchown", META, 0, -1, -1},
    {SYS_fchown, "fchown", META, -1, 0, -1}, {SYS_fchownat, "fchownat", META, 1, 0, -1},
    {SYS_setxattr, "setxattr", META, 0, -1, -1}, {SYS_lsetxattr, "lsetxattr", META, 0, -1, -1},
    {SYS_fsetxattr, "fsetxattr", META, -1, 0, -1}, {SYS_removexattr, "removexattr", META, 0, -1, -1},
    {SYS_lremovexattr, "lremovexattr", META, 0, -1, -1}, {SYS_fremovexattr, "fremovexattr", META, -1, 0, -1},
    {SYS_utimensat, "utimensat", META, 1, 0, -1}, {SYS_utimes, "utimes", META, 0, -1, -1},
    {SYS_open, "open", OPEN, 0, -1, -1}, {SYS_openat, "openat", OPEN, 1, 0, -1},
    {OPENAT2, "openat2", OPEN, 1, 0, -1}, {SYS_creat, "creat", OPEN, 0, -1, -1},
    {SYS_read, "read", READ, -1, 0, -1}, {SYS_pread64, "pread64", READ, -1, 0, -1},
};
enum { KNOWN = sizeof table / sizeof *table };

static const struct { const char *name; int value; } errors[] = {
    {"ENOSPC", ENOSPC}, {"EIO", EIO}, {"EACCES", EACCES}, {"EROFS", EROFS}, {"EDQUOT", EDQUOT},
    {"EMFILE", EMFILE}, {"EPERM", EPERM}, {"EINTR", EINTR}, {"EBUSY", EBUSY},
};
static const struct { const char *name; int value; } classes[] = {
    {"write", WRITE}, {"sync", SYNC}, {"ns", NS}, {"meta", META}, {"open", OPEN}, {"read", READ},
};

static const char *mode = "count", *only_path, *only_names, *command;
static long wanted;
static int error_number = ENOSPC, mask = WRITE | SYNC | NS | META | OPEN;
static FILE *log_file, *report_file;
static pid_t tasks[4096];
static int task_count;

static const struct call *find(long nr) {
    for (int i = 0; i < KNOWN; i++)
        if (table[i].nr == nr) return &table[i];
    return NULL;
}

static int listed(const char *list, const char *name) {
    size_t length = strlen(name);
    for (const char *at = list; (at = strstr(at, name)); at += length)
        if ((at == list || at[-1] == ',') && (at[length] == ',' || !at[length])) return 1;
    return 0;
}

static void remember(pid_t task) {
    for (int i = 0; i < task_count; i++)
        if (tasks[i] == task) return;
    if (task_count < 4096) tasks[task_count++] = task;
}

static void forget(pid_t task) {
    for (int i = 0; i < task_count; i++)
        if (tasks[i] == task) tasks[i] = tasks[--task_count];
}

static void filter(void) {
    struct sock_filter f[2 + 2 * KNOWN];
    int n = 0;
    f[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    for (int i = 0; i < KNOWN; i++)
        if (table[i].class & mask) {
            f[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, table[i].nr, 0, 1);
            f[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE);
        }
    f[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct sock_fprog program = {n, f};
    if (!syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program)) return;
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program)) {
        perror("faultn: seccomp");
        _exit(120);
    }
}

static void peek(pid_t task, unsigned long from, char *out, size_t room) {
    size_t got = 0;
    out[0] = 0;
    while (from && got < room - 1) {
        size_t want = 64 - ((from + got) & 63);
        if (want > room - 1 - got) want = room - 1 - got;
        struct iovec here = {out + got, want}, there = {(void *)(from + got), want};
        ssize_t read = process_vm_readv(task, &here, 1, &there, 1, 0);
        if (read <= 0) break;
        for (ssize_t i = 0; i < read; i++)
            if (!out[got + i]) return;
        got += read;
    }
    out[got] = 0;
}

static void descriptor(pid_t task, int fd, char *out, size_t room) {
    char link[64];
    if (fd == AT_FDCWD) snprintf(link, sizeof link, "/proc/%d/cwd", task);
    else snprintf(link, sizeof link, "/proc/%d/fd/%d", task, fd);
    ssize_t length = readlink(link, out, room - 1);
    out[length > 0 ? length : 0] = 0;
}

static unsigned long argument(const struct user_regs_struct *r, int i) {
    switch (i) {
    case 0: return r->rdi;
    case 1: return r->rsi;
    case 2: return r->rdx;
    case 3: return r->r10;
    case 4: return r->r8;
    default: return r->r9;
    }
}

static unsigned long open_flags(pid_t task, const struct call *c, const struct user_regs_struct *r) {
    if (c->nr == SYS_creat) return O_CREAT;
    if (c->nr != OPENAT2) return argument(r, c->nr == SYS_open ? 1 : 2);
    unsigned long flags = 0;
    struct iovec here = {&flags, sizeof flags}, there = {(void *)r->rdx, sizeof flags};
    process_vm_readv(task, &here, 1, &there, 1, 0);
    return flags;
}

/* Whether the call counts; its path, the real one where it goes through /proc/self/fd, and its second path. */
static int counts(pid_t task, const struct call *c, const struct user_regs_struct *r, char *path, size_t room,
                  char *second) {
    char base[4096] = "", name[4096] = "";
    second[0] = 0;
    if (c->nr == SYS_ioctl && argument(r, 1) != FICLONE_REQUEST && argument(r, 1) != FICLONERANGE_REQUEST) return 0;
    if (c->class == OPEN) {
        unsigned long flags = open_flags(task, c, r);
        if (!(flags & (O_CREAT | O_TRUNC)) && (flags & O_TMPFILE) != O_TMPFILE) return 0;
    }
    if (c->fd >= 0) descriptor(task, (int)argument(r, c->fd), base, sizeof base);
    if (c->path >= 0) peek(task, argument(r, c->path), name, sizeof name);
    if (c->path < 0 && c->fd >= 0) {
        if (base[0] != '/') return 0; /* a pipe or a socket */
        if (!strncmp(base, "/dev/", 5) && strncmp(base, "/dev/shm/", 9)) return 0;
        if (!strncmp(base, "/proc/", 6)) return 0;
    }
    if (name[0] && name[0] != '/' && c->fd < 0) descriptor(task, AT_FDCWD, base, sizeof base);
    if (!strncmp(name, "/proc/self/fd/", 14)) {
        char *rest = name + 14;
        descriptor(task, (int)strtol(rest, &rest, 10), base, sizeof base);
        memmove(name, rest[0] == '/' ? rest + 1 : rest, strlen(rest[0] == '/' ? rest + 1 : rest) + 1);
    } else if (name[0] == '/') base[0] = 0;
    snprintf(path, room, "%s%s%s", base, base[0] && name[0] ? "/" : "", name);
    if (!strncmp(path, "/dev/null", 9) || !strncmp(path, "/dev/tty", 8)) return 0;
    if (c->second >= 0) peek(task, argument(r, c->second), second, 4096);
    if (only_path && !strstr(path, only_path) && !strstr(second, only_path)) return 0;
    return !only_names || listed(only_names, c->name);
}

static void report(long calls, int fired, int code) {
    if (!report_file) return;
    fprintf(report_file, "calls %ld\nfired %d\nexit %d\n", calls, fired, code);
    fclose(report_file);
}

static void kill_all(long calls) {
    int status;
    if (log_file) fclose(log_file);
    if (command && system(command)) fprintf(stderr, "faultn: %s failed\n", command);
    /* These are our living or zombie tracees: no number is given anew before we reap it below. */
    for (int i = 0; i < task_count; i++) kill(tasks[i], SIGKILL);
    for (pid_t other; (other = waitpid(-1, &status, __WALL)) > 0;)
        if (WIFSTOPPED(status)) kill(other, SIGKILL); /* forked just now */
    report(calls, 1, 137);
    _exit(137);
}

static int options(int count, char **words) {
    for (int c; (c = getopt(count, words, "+m:n:e:k:p:s:l:r:x:")) != -1;) switch (c) {
        case 'm': mode = optarg; break;
        case 'n': wanted = atol(optarg); break;
        case 'p': only_path = optarg; break;
        case 's': only_names = optarg; break;
        case 'x': command = optarg; break;
        case 'l': log_file = fopen(optarg, "we"); break;
        case 'r': report_file = fopen(optarg, "we"); break;
        case 'e':
            error_number = atoi(optarg);
            for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
                if (!strcmp(optarg, errors[i].name)) error_number = errors[i].value;
            break;
        case 'k':
            mask = 0;
            for (size_t i = 0; i < sizeof classes / sizeof *classes; i++)
                if (listed(optarg, classes[i].name)) mask |= classes[i].value;
            break;
        default: return 2;
        }
    return words[optind] && mask && error_number > 0 ? 0 : 2;
}

/* Returns in the child alone, which is traced from there on; `started` unless an exec is still to come. */
static void trace(int started) {
    int status, code = 0, fired = 0;
    int counting = !strcmp(mode, "count"), from_there = !strcmp(mode, "errfrom");
    int failing = from_there || !strcmp(mode, "err");
    long calls = 0;
    pid_t ending = 0, child = fork();
    if (!child) {
        ptrace(PTRACE_TRACEME, 0, 0, 0);
        raise(SIGSTOP);
        if (log_file) fclose(log_file);
        if (report_file) fclose(report_file);
        filter();
        return;
    }
    waitpid(child, &status, 0);
    ptrace(PTRACE_SETOPTIONS, child, 0,
           PTRACE_O_TRACESECCOMP | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC |
               PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD);
    remember(child);
    ptrace(PTRACE_CONT, child, 0, 0);
    for (pid_t task; (task = waitpid(-1, &status, __WALL)) > 0;) {
        if (WIFEXITED(status) || WIFSIGNALED(status)) {
            forget(task);
            if (task == child) code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
            continue;
        }
        if (!WIFSTOPPED(status)) continue;
        remember(task);
        int signal = WSTOPSIG(status), event = status >> 16;
        struct user_regs_struct r;
        if (event == PTRACE_EVENT_EXEC) started = 1;
        if (event == PTRACE_EVENT_SECCOMP && started && !ptrace(PTRACE_GETREGS, task, 0, &r)) {
            const struct call *c = find((long)r.orig_rax);
            char path[8300], second[4096];
            if (c && counts(task, c, &r, path, sizeof path, second)) {
                calls++;
                int now = !counting && (calls == wanted || (from_there && calls >= wanted));
                if (log_file) {
                    fprintf(log_file, "%ld %d %s %s%s%s\n", calls, task, c->name, path, second[0] ? " -> " : "", second);
                    fflush(log_file);
                }
                if (now) {
                    fired = 1;
                    if (!strcmp(mode, "kill")) kill_all(calls);
                    if (failing) {
                        r.orig_rax = -1;
                        r.rax = -error_number;
                        ptrace(PTRACE_SETREGS, task, 0, &r);
                    } else {
                        if (!strcmp(mode, "torn") && (c->nr == SYS_write || c->nr == SYS_pwrite64)) {
                            r.rdx /= 2;
                            ptrace(PTRACE_SETREGS, task, 0, &r);
                        }
                        ending = task;
                        ptrace(PTRACE_SYSCALL, task, 0, 0);
                        continue;
                    }
                }
            }
        }
        if (signal == (SIGTRAP | 0x80)) {
            if (task == ending) {
                ptrace(PTRACE_GETREGS, task, 0, &r);
                if ((long)r.rax != -ENOSYS) kill_all(calls);
                ptrace(PTRACE_SYSCALL, task, 0, 0); /* still on its way in */
                continue;
            }
            signal = 0;
        }
        if (event || signal == SIGSTOP || signal == SIGTRAP) signal = 0;
        ptrace(PTRACE_CONT, task, 0, signal);
    }
    if (counting) fprintf(stderr, "COUNT %ld\n", calls);
    report(calls, fired, code);
    _exit(fired || counting ? code : 99); /* 99: there was no N-th call */
}

int faultn(int count, char **words) {
    if (options(count, words)) return 2;
    trace(1);
    return 0;
}

int main(int count, char **words) {
    if (options(count, words)) {
        fprintf(stderr, "faultn: see the head of faultn.c for its options\n");
        return 2;
    }
    trace(0);
    execvp(words[optind], words + optind);
    perror(words[optind]);
    _exit(127);
}
