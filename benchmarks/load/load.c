// A load client: keeps a fixed number of connections busy and says what came back, as one line of JSON.
//
//   closed loop (default)  each connection sends its next request when the last one was answered
//   --requests N           sends N requests in all and waits for every answer (held requests)
//   --stream               counts streamed chunks and their one-way latency from the send time that each carries
//
// Lines on stdout mark the measured window, so that a harness can read CPU times at its edges:
// "begin NS" and "end NS" for a timed run, "sent NS" when all of N requests are out. Then the JSON.

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000ull
#define MAX_CONNECTING 64          // so that a server's accept queue is never the limit

enum state { IDLE, CONNECTING, HEAD, BY_LENGTH, CHUNK_SIZE, CHUNK_DATA, CHUNK_END, TRAILER, UNTIL_CLOSE };

struct conn {
    int fd;
    enum state state;
    bool reused, failed, ends;     // reused: has been answered before; ends: the server closes after this answer
    uint64_t sent_at;
    size_t left, line_len;         // bytes left of the body or chunk; length of the trailer line
    size_t request_off;
    char *text;                    // the head while it is read, then the body (or its last incomplete line)
    size_t text_len, text_cap;
};

static int epoll_fd, port;
static long connections = 32, requests_wanted = 0, issued, written, connecting, reconnects, in_flight;
static double seconds = 5, warmup = 1, deadline_s = 0;
static bool streaming = false, measuring = false, finished = false;
static long answered, errors, streams_done;
static uint64_t *samples;
static size_t samples_len, samples_cap;
static char *request;
static size_t request_len;
static struct conn *conns;
static int shown_errors;

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
}

static void die(const char *what) { perror(what); exit(1); }

static void sample(uint64_t ns) {
    if (samples_len == samples_cap)
        samples = realloc(samples, (samples_cap = samples_cap ? 2 * samples_cap : 65536) * sizeof *samples);
    samples[samples_len++] = ns;
}

static void show_error(const char *what, const char *text, size_t len) {
    if (shown_errors++ < 3) fprintf(stderr, "%s: %.*s\n", what, (int)(len > 600 ? 600 : len), text);
}

// ---- connecting and sending ----

static void open_conn(struct conn *c) {
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0) die("socket");
    int on = 1;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (connect(c->fd, (void *)&address, sizeof address) && errno != EINPROGRESS) die("connect");
    c->state = CONNECTING;
    c->reused = c->ends = false;
    connecting++;
    struct epoll_event e = {.events = EPOLLIN | EPOLLOUT, .data.ptr = c};
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &e);
}

static void close_conn(struct conn *c) {
    if (c->state == CONNECTING) connecting--;
    close(c->fd);
    c->fd = -1;
    c->state = IDLE;
}

static bool may_issue(void) { return !finished && (!requests_wanted || issued < requests_wanted); }

static bool push_request(struct conn *c) {
    ssize_t n = send(c->fd, request + c->request_off, request_len - c->request_off, MSG_NOSIGNAL);
    if (n < 0) return errno == EAGAIN;
    c->request_off += (size_t)n;
    if (c->request_off == request_len && ++written == requests_wanted) {
        printf("sent %llu\n", (unsigned long long)now_ns());
        fflush(stdout);
    }
    return true;
}

static bool send_request(struct conn *c) {
    c->state = HEAD;
    c->failed = false;
    c->text_len = c->request_off = 0;
    c->sent_at = now_ns();
    if (!push_request(c)) return false;
    if (c->request_off == request_len) return true;
    struct epoll_event e = {.events = EPOLLIN | EPOLLOUT, .data.ptr = c};
    epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &e);
    return true;
}

static void issue(struct conn *c) {
    if (!may_issue()) return;
    issued++;
    in_flight++;
    if (c->fd < 0) open_conn(c);
    else if (!send_request(c)) { close_conn(c); open_conn(c); reconnects++; }
}

// ---- reading ----

static void keep(struct conn *c, const char *data, size_t len) {
    if (c->text_len + len + 1 > c->text_cap) c->text = realloc(c->text, c->text_cap = 2 * (c->text_len + len) + 512);
    memcpy(c->text + c->text_len, data, len);
    c->text[c->text_len += len] = 0;
}

static void on_line(struct conn *c, const char *line, size_t len, uint64_t now) {
    const char *mark = memmem(line, len, "\"@", 2);
    if (mark && mark + 22 < line + len) {
        if (measuring) { uint64_t at = strtoull(mark + 2, NULL, 10); answered++; sample(now > at ? now - at : 0); }
    } else if (memmem(line, len, "[DONE]", 6)) {
        streams_done++;
    } else if (memmem(line, len, "\"error\"", 7)) {
        show_error("error event", line, len);
        c->failed = true;
    }
}

static void on_body(struct conn *c, const char *data, size_t len, uint64_t now) {
    keep(c, data, len);
    if (!streaming) return;
    char *at = c->text, *end = c->text + c->text_len;
    for (char *newline; (newline = memchr(at, '\n', (size_t)(end - at))); at = newline + 1)
        on_line(c, at, (size_t)(newline - at), now);
    memmove(c->text, at, c->text_len = (size_t)(end - at));
}

static void on_answered(struct conn *c, uint64_t now) {
    bool good = !c->failed && (streaming || (c->text_len && memmem(c->text, c->text_len, "\"choices\"", 9)));
    if (!good) { errors++; if (!c->failed) show_error("answer without choices", c->text, c->text_len); }
    else if (!streaming && measuring) { answered++; sample(now - c->sent_at); }
    in_flight--;
    c->reused = true;
    c->state = IDLE;
    if (requests_wanted) { free(c->text); c->text = NULL; c->text_cap = c->text_len = 0; }
}

static void on_head(struct conn *c) {
    int status = 0;
    sscanf(c->text, "HTTP/1.%*d %d", &status);
    char *length = strcasestr(c->text, "\r\ncontent-length:");
    char *connection = strcasestr(c->text, "\r\nconnection:");
    c->ends = connection && !strncasecmp(connection + 13 + strspn(connection + 13, " "), "close", 5);
    size_t head_len = c->text_len;
    c->text_len = c->left = 0;
    if (status == 100) return;
    if (status != 200) { c->failed = true; show_error("status", c->text, head_len); }
    if (strcasestr(c->text, "\r\ntransfer-encoding:")) c->state = CHUNK_SIZE;
    else if (length) { c->state = BY_LENGTH; c->left = strtoul(length + 17, NULL, 10); }
    else c->state = UNTIL_CLOSE;
}

static int hex(char ch) { return isdigit((unsigned char)ch) ? ch - '0' : (tolower((unsigned char)ch) - 'a' + 10); }

// Reads one answer out of [p, end) and returns where it stopped; the state is IDLE once the answer is complete.
static const char *feed(struct conn *c, const char *p, const char *end, uint64_t now) {
    while (p < end && c->state != IDLE) {
        size_t n = (size_t)(end - p);
        switch (c->state) {
        case HEAD: {
            size_t before = c->text_len;
            keep(c, p, n);
            char *stop = strstr(c->text + (before > 3 ? before - 3 : 0), "\r\n\r\n");
            if (!stop) return end;
            p += (size_t)(stop + 4 - c->text) - before;
            stop[2] = 0;
            on_head(c);
            if (c->state == BY_LENGTH && !c->left) on_answered(c, now);
            break;
        }
        case BY_LENGTH:
        case CHUNK_DATA:
            if (n > c->left) n = c->left;
            on_body(c, p, n, now);
            p += n;
            if (c->left -= n) break;
            if (c->state == BY_LENGTH) on_answered(c, now);
            else c->state = CHUNK_END;
            break;
        case CHUNK_END:
            if (*p++ == '\n') { c->state = CHUNK_SIZE; c->left = 0; }
            break;
        case CHUNK_SIZE:
            if (*p == '\n') { c->state = c->left ? CHUNK_DATA : TRAILER; c->line_len = 0; }
            else if (isxdigit((unsigned char)*p)) c->left = c->left * 16 + (size_t)hex(*p);
            p++;
            break;
        case TRAILER:
            if (*p == '\n') { if (!c->line_len) on_answered(c, now); c->line_len = 0; }
            else if (*p != '\r') c->line_len++;
            p++;
            break;
        default:
            on_body(c, p, n, now);
            p = end;
        }
    }
    return p;
}

// The server closed: the end of this answer, a stale kept-alive connection (sent again), or an error.
static void on_closed(struct conn *c, uint64_t now) {
    if (c->state == UNTIL_CLOSE) { on_answered(c, now); close_conn(c); issue(c); return; }
    if (c->state == IDLE) { close_conn(c); return; }
    bool stale = c->reused && c->state == HEAD && !c->text_len;
    if (!stale) show_error("connection lost", c->text ? c->text : "", c->text_len);
    close_conn(c);
    if (stale) { reconnects++; open_conn(c); return; }
    errors++;
    in_flight--;
    issue(c);
}

static void on_readable(struct conn *c) {
    static char data[1 << 16];
    ssize_t got = recv(c->fd, data, sizeof data, 0);
    uint64_t now = now_ns();
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) { on_closed(c, now); return; }
    feed(c, data, data + got, now);
    if (c->state != IDLE) return;
    if (c->ends) close_conn(c);
    issue(c);
}

static void on_event(struct conn *c, uint32_t events) {
    if (c->fd < 0) return;
    if (events & EPOLLOUT) {
        if (c->state == CONNECTING) {
            int error = 0;
            socklen_t len = sizeof error;
            getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len);
            if (error) { errno = error; die("connect"); }
            connecting--;
            if (!send_request(c)) { c->state = HEAD; on_closed(c, now_ns()); return; }
        } else if (!push_request(c)) { on_closed(c, now_ns()); return; }
        struct epoll_event e = {.events = EPOLLIN | (c->request_off < request_len ? EPOLLOUT : 0), .data.ptr = c};
        epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &e);
    }
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) on_readable(c);
}

// ---- the run ----

static void mark(const char *word, uint64_t at) {
    printf("%s %llu\n", word, (unsigned long long)at);
    fflush(stdout);
}

static void run(uint64_t *begin, uint64_t *end) {
    struct epoll_event events[256];
    uint64_t start = now_ns();
    long opened = 0;
    *begin = start + (requests_wanted ? 0 : (uint64_t)(warmup * SECOND));
    *end = UINT64_MAX;
    uint64_t deadline = start + (uint64_t)(deadline_s * SECOND);
    measuring = requests_wanted > 0;
    for (;;) {
        while (opened < connections && connecting < MAX_CONNECTING && may_issue()) issue(&conns[opened++]);
        int n = epoll_wait(epoll_fd, events, 256, 5);
        uint64_t now = now_ns();
        if (!measuring && now >= *begin) {
            measuring = true;
            mark("begin", *begin = now);
            *end = now + (uint64_t)(seconds * SECOND);
        }
        for (int i = 0; i < n; i++) on_event(events[i].data.ptr, events[i].events);
        if (now >= *end) { mark("end", *end = now); return; }
        if (requests_wanted && issued == requests_wanted && !in_flight) { *end = now_ns(); return; }
        if (now >= deadline) { errors += in_flight; *end = now; fprintf(stderr, "out of time\n"); return; }
    }
}

static int by_value(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static double quantile_us(double q) {
    return samples_len ? (double)samples[(size_t)(q * (double)(samples_len - 1))] / 1000.0 : 0;
}

static void report(double elapsed) {
    qsort(samples, samples_len, sizeof *samples, by_value);
    printf("{\"%s\":%ld,\"streams_done\":%ld,\"errors\":%ld,\"reconnects\":%ld,\"seconds\":%.6f,\"per_second\":%.1f,"
           "\"p50_us\":%.1f,\"p90_us\":%.1f,\"p99_us\":%.1f,\"max_us\":%.1f}\n",
           streaming ? "chunks" : "requests", answered, streams_done, errors, reconnects, elapsed,
           (double)answered / elapsed, quantile_us(0.5), quantile_us(0.9), quantile_us(0.99), quantile_us(1));
}

static void prepare_request(const char *path, const char *model, const char *header, size_t body_len) {
    char *body = malloc(body_len + 512), *text = malloc(body_len + 2048);
    int n = sprintf(body, "{\"model\":\"%s\",%s\"max_tokens\":160,\"messages\":[{\"role\":\"user\",\"content\":\"", model,
                    streaming ? "\"stream\":true," : "");
    size_t filler = body_len > (size_t)n + 4 ? body_len - (size_t)n - 4 : 1;
    memset(body + n, 'x', filler);
    strcpy(body + n + filler, "\"}]}");
    request_len = (size_t)sprintf(text,
        "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n%s%s\r\n%s", path,
        port, strlen(body), header, *header ? "\r\n" : "", body);
    request = text;
    free(body);
}

static int usage(const char *name) {
    fprintf(stderr, "usage: %s --port P [--core N] [--connections C] [--seconds S] [--warmup S] [--requests N]\n"
                    "       [--timeout S] [--stream] [--model NAME] [--path P] [--header 'Name: value'] [--body BYTES]\n",
            name);
    return 2;
}

int main(int argc, char **argv) {
    const char *path = "/v1/chat/completions", *model = "m", *header = "";
    size_t body_len = 1024;
    int core = -1;
    for (int i = 1; i < argc; i++) {
        const char *key = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (!strcmp(key, "--stream")) { streaming = true; continue; }
        if (!value) return usage(argv[0]);
        i++;
        if (!strcmp(key, "--port")) port = atoi(value);
        else if (!strcmp(key, "--core")) core = atoi(value);
        else if (!strcmp(key, "--connections")) connections = atol(value);
        else if (!strcmp(key, "--requests")) requests_wanted = atol(value);
        else if (!strcmp(key, "--seconds")) seconds = atof(value);
        else if (!strcmp(key, "--warmup")) warmup = atof(value);
        else if (!strcmp(key, "--timeout")) deadline_s = atof(value);
        else if (!strcmp(key, "--model")) model = value;
        else if (!strcmp(key, "--path")) path = value;
        else if (!strcmp(key, "--header")) header = value;
        else if (!strcmp(key, "--body")) body_len = strtoul(value, NULL, 10);
        else return usage(argv[0]);
    }
    if (!port || connections < 1) return usage(argv[0]);
    if (!deadline_s) deadline_s = requests_wanted ? 600 : warmup + seconds + 30;
    if (core >= 0) {
        cpu_set_t set;
        CPU_ZERO(&set);
        CPU_SET(core, &set);
        sched_setaffinity(0, sizeof set, &set);
    }
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    signal(SIGPIPE, SIG_IGN);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    prepare_request(path, model, header, body_len);
    conns = calloc((size_t)connections, sizeof *conns);
    for (long i = 0; i < connections; i++) conns[i].fd = -1;
    uint64_t begin, end;
    run(&begin, &end);
    report((double)(end - begin) / SECOND);
    return errors > 0;
}
