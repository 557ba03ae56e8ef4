/* Loaded into a zygote by LD_PRELOAD: its forks, and those of its keepers, do as the file $FORK_HOOK says:

     NAME before N    the process of that name is killed when it is to fork for the Nth time
     NAME after N     the same, once it has forked
     NAME memory N    from the Nth time on the system has no memory for a fork
     NAME pids N      from the Nth time on no more processes are allowed

   The kernel itself says ENOMEM of a fork into a PID namespace whose first process has ended. Where such a namespace
   is not to be had, the same error is given in its place. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static pid_t (*real)(void);

static pid_t without_memory(void)
{
    if (unshare(CLONE_NEWPID)) {
        errno = ENOMEM;
        return -1;
    }
    pid_t first = real();
    if (first == 0)
        _exit(0);
    if (first > 0)
        waitpid(first, NULL, 0);
    return real();
}

pid_t fork(void)
{
    static int count;
    char wanted[64] = "", what[64] = "", name[64] = "";
    const char *path = getenv("FORK_HOOK");
    int at = 0;
    FILE *file = path ? fopen(path, "re") : NULL;

    real = (pid_t (*)(void))dlsym(RTLD_NEXT, "fork");
    if (file) {
        if (fscanf(file, "%63s %63s %d", wanted, what, &at) != 3)
            at = 0;
        fclose(file);
    }
    prctl(PR_GET_NAME, name);
    if (at == 0 || strcmp(name, wanted) != 0 || ++count < at)
        return real();
    if (strcmp(what, "memory") == 0)
        return without_memory();
    if (strcmp(what, "pids") == 0) {
        errno = EAGAIN;
        return -1;
    }
    if (strcmp(what, "before") == 0) {
        unlink(path);
        kill(getpid(), SIGKILL);
    }
    pid_t pid = real();
    if (pid > 0) {
        unlink(path);
        kill(getpid(), SIGKILL);
    }
    return pid;
}
