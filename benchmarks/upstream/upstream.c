// A stand-in engine: an OpenAI-compatible server that costs next to nothing, so that what is measured is the proxy.
//
//   GET  /health               200; before it is ready the port is closed, or answers 503 with --before 503
//   GET  /stats                when it became ready, and when requests reached it, as JSON
//   POST /v1/chat/completions  1 KB of JSON with usage, or a stream with a fixed rate of chunks
//
// Each streamed chunk carries its send time: "content":"@" and 20 digits, CLOCK_MONOTONIC nanoseconds, which every
// process on the machine shares. One thread, one epoll, a heap of due times for the streams.

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
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
#define KEPT_ARRIVALS 4096

struct conn {
    int fd;
    char *in, *out;
    size_t in_len, in_cap, out_len, out_cap;
    bool closed, queued;     // queued: in the heap, which then holds the last reference
    long chunks_left;
    uint64_t due;
};

static int epoll_fd, listen_fd = -1, port;
static double ready_after = 0, rate = 50;
static long chunks_per_stream = 100;
static const char *ready_file = NULL, *events_path = NULL;
static bool answers_before = false;      // 503 before ready, instead of a closed port
static uint64_t started_ns, ready_ns, first_ns, requests, arrivals[KEPT_ARRIVALS];
static char body[1025], answer[2048], chunk[512];
static size_t answer_len, chunk_len, chunk_time_at;
static struct conn **heap;
static size_t heap_len, heap_cap;

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
}

static void die(const char *what) { perror(what); exit(1); }

// ---- the heap of streams by due time ----

static void heap_swap(size_t a, size_t b) { struct conn *c = heap[a]; heap[a] = heap[b]; heap[b] = c; }

static void heap_sink(size_t at) {
    for (size_t child; (child = 2 * at + 1) < heap_len; at = child) {
        if (child + 1 < heap_len && heap[child + 1]->due < heap[child]->due) child++;
        if (heap[at]->due <= heap[child]->due) return;
        heap_swap(at, child);
    }
}

static void heap_push(struct conn *c) {
    if (heap_len == heap_cap) heap = realloc(heap, (heap_cap = heap_cap ? 2 * heap_cap : 1024) * sizeof *heap);
    size_t at = heap_len++;
    for (heap[at] = c; at && heap[(at - 1) / 2]->due > heap[at]->due; at = (at - 1) / 2) heap_swap(at, (at - 1) / 2);
    c->queued = true;
}

static void heap_pop(void) { heap[0]->queued = false; heap_swap(0, --heap_len); heap_sink(0); }

// ---- connections ----

static void conn_free(struct conn *c) { free(c->in); free(c->out); free(c); }

static void conn_close(struct conn *c) {
    if (c->closed) return;
    close(c->fd);
    c->closed = true;
    if (!c->queued) conn_free(c);
}

static void watch(struct conn *c, bool writing) {
    struct epoll_event e = {.events = EPOLLIN | (writing ? EPOLLOUT : 0), .data.ptr = c};
    epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &e);
}

// Sends what it can and keeps the rest. False when the connection is gone.
static bool conn_send(struct conn *c, const char *data, size_t len) {
    if (!c->out_len) {
        ssize_t sent = send(c->fd, data, len, MSG_NOSIGNAL);
        if (sent == (ssize_t)len) return true;
        if (sent < 0 && errno != EAGAIN) return false;
        if (sent > 0) { data += sent; len -= (size_t)sent; }
        watch(c, true);
    }
    if (c->out_len + len > c->out_cap) c->out = realloc(c->out, c->out_cap = 2 * (c->out_len + len));
    memcpy(c->out + c->out_len, data, len);
    c->out_len += len;
    return true;
}

static bool conn_flush(struct conn *c) {
    ssize_t sent = send(c->fd, c->out, c->out_len, MSG_NOSIGNAL);
    if (sent < 0) return errno == EAGAIN;
    memmove(c->out, c->out + sent, c->out_len -= (size_t)sent);
    if (!c->out_len) watch(c, false);
    return true;
}

// ---- answers ----

static void prepare_answers(void) {
    int n = snprintf(body, sizeof body,
        "{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion\",\"created\":1700000000,\"model\":\"stand-in\",\"choices\":"
        "[{\"index\":0,\"finish_reason\":\"stop\",\"message\":{\"role\":\"assistant\",\"content\":\"");
    const char *end = "\"}}],\"usage\":{\"prompt_tokens\":200,\"completion_tokens\":160,\"total_tokens\":360}}";
    memset(body + n, 'x', 1024 - (size_t)n - strlen(end));
    strcpy(body + 1024 - strlen(end), end);
    answer_len = (size_t)snprintf(answer, sizeof answer,
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1024\r\n\r\n%s", body);
    const char *event = "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,"
        "\"model\":\"stand-in\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"@%020d\"},\"finish_reason\":null}]}\n\n";
    char text[400];
    int length = snprintf(text, sizeof text, event, 0);
    chunk_len = (size_t)snprintf(chunk, sizeof chunk, "%x\r\n%s\r\n", (unsigned)length, text);
    chunk_time_at = (size_t)(strchr(chunk, '@') - chunk) + 1;
}

static bool send_text(struct conn *c, int status, const char *type, const char *text) {
    char out[512 + KEPT_ARRIVALS * 21];
    int n = snprintf(out, sizeof out, "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n\r\n%s", status,
                     status == 200 ? "OK" : "No", type, strlen(text), text);
    return conn_send(c, out, (size_t)n);
}

static bool send_stats(struct conn *c) {
    static char text[256 + KEPT_ARRIVALS * 21];
    int n = sprintf(text, "{\"pid\":%d,\"port\":%d,\"started_ns\":%llu,\"ready_ns\":%llu,\"requests\":%llu,\"arrivals_ns\":[",
                    getpid(), port, (unsigned long long)started_ns, (unsigned long long)ready_ns,
                    (unsigned long long)requests);
    for (uint64_t i = 0; i < requests && i < KEPT_ARRIVALS; i++)
        n += sprintf(text + n, i ? ",%llu" : "%llu", (unsigned long long)arrivals[i]);
    sprintf(text + n, "]}");
    return send_text(c, 200, "application/json", text);
}

// The first request is also noted in a file, for a replica that is gone before anyone can ask it.
static void note_first(void) {
    char line[256];
    int fd = open(events_path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    int n = snprintf(line, sizeof line, "{\"pid\":%d,\"started_ns\":%llu,\"ready_ns\":%llu,\"first_ns\":%llu}\n", getpid(),
                     (unsigned long long)started_ns, (unsigned long long)ready_ns, (unsigned long long)first_ns);
    if (fd < 0 || write(fd, line, (size_t)n) != n) perror(events_path);
    if (fd >= 0) close(fd);
}

static bool send_due_chunk(struct conn *c) {
    char digits[21];
    snprintf(digits, sizeof digits, "%020llu", (unsigned long long)now_ns());
    memcpy(chunk + chunk_time_at, digits, 20);
    if (!conn_send(c, chunk, chunk_len)) return false;
    if (--c->chunks_left) return true;
    const char *usage = "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":"
        "\"stand-in\",\"choices\":[],\"usage\":{\"prompt_tokens\":200,\"completion_tokens\":160,\"total_tokens\":360}}\n\n"
        "data: [DONE]\n\n";
    char last[512];
    int n = snprintf(last, sizeof last, "%zx\r\n%s\r\n0\r\n\r\n", strlen(usage), usage);
    return conn_send(c, last, (size_t)n);
}

static bool start_stream(struct conn *c) {
    static uint64_t streams;
    // Golden-ratio phases, so that streams which start together do not send together.
    double phase = (double)(++streams * 0x9E3779B97F4A7C15ull) / 18446744073709551616.0;
    c->chunks_left = chunks_per_stream;
    c->due = now_ns() + (uint64_t)(phase / rate * SECOND);
    heap_push(c);
    const char *head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
        "Transfer-Encoding: chunked\r\n\r\n";
    return conn_send(c, head, strlen(head));
}

static bool handle(struct conn *c, const char *head, const char *text, size_t text_len, uint64_t at) {
    if (!strncmp(head, "GET /stats ", 11)) return send_stats(c);
    if (!ready_ns) return send_text(c, 503, "text/plain", "not ready");
    if (!strncmp(head, "GET ", 4)) return send_text(c, 200, "text/plain", "ok");
    if (strncmp(head, "POST ", 5)) return send_text(c, 405, "text/plain", "GET or POST");
    if (requests < KEPT_ARRIVALS) arrivals[requests] = at;
    if (!requests++) { first_ns = at; if (events_path) note_first(); }
    if (memmem(text, text_len, "\"stream\":true", 13) || memmem(text, text_len, "\"stream\": true", 14))
        return start_stream(c);
    return conn_send(c, answer, answer_len);
}

// Answers every complete request in the buffer. False when the connection is to be closed.
static bool answer_all(struct conn *c, uint64_t at) {
    for (size_t used; c->in_len && !c->queued; memmove(c->in, c->in + used, c->in_len -= used)) {
        char *end = memmem(c->in, c->in_len, "\r\n\r\n", 4);
        if (!end) return true;
        *end = 0;
        char *length = strcasestr(c->in, "\r\ncontent-length:");
        bool chunked = strcasestr(c->in, "\r\ntransfer-encoding:") != NULL;
        size_t text_len = length ? strtoul(length + 17, NULL, 10) : 0;
        *end = '\r';
        if (chunked) return false;   // no client here sends one
        used = (size_t)(end - c->in) + 4 + text_len;
        if (used > c->in_len) return true;
        if (!handle(c, c->in, end + 4, text_len, at)) return false;
    }
    return true;
}

static bool receive(struct conn *c) {
    if (c->in_len + 4096 > c->in_cap) c->in = realloc(c->in, c->in_cap = 2 * c->in_cap + 8192);
    ssize_t got = recv(c->fd, c->in + c->in_len, c->in_cap - c->in_len - 1, 0);
    if (got <= 0) return got < 0 && errno == EAGAIN;
    uint64_t at = now_ns();
    c->in_len += (size_t)got;
    c->in[c->in_len] = 0;
    return answer_all(c, at);
}

// ---- life ----

static void open_port(void) {
    listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int on = 1;
    setsockopt(listen_fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (bind(listen_fd, (void *)&address, sizeof address) || listen(listen_fd, 4096)) die("listen");
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = NULL};
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listen_fd, &e);
}

static void become_ready(void) {
    if (listen_fd < 0) open_port();
    ready_ns = now_ns();
}

static void accept_all(void) {
    for (int fd; (fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
        int on = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        struct conn *c = calloc(1, sizeof *c);
        c->fd = fd;
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &e);
    }
}

static void send_due(void) {
    for (uint64_t now = now_ns(); heap_len && heap[0]->due <= now;) {
        struct conn *c = heap[0];
        if (c->closed) { heap_pop(); conn_free(c); continue; }
        bool alive = send_due_chunk(c);
        if (alive && c->chunks_left) { c->due += (uint64_t)(SECOND / rate); heap_sink(0); continue; }
        heap_pop();
        if (!alive || !answer_all(c, now)) conn_close(c);
    }
}

static struct timespec *time_to_next(struct timespec *t) {
    uint64_t now = now_ns(), at = UINT64_MAX;
    if (heap_len) at = heap[0]->due;
    if (!ready_ns && ready_file) at = now + SECOND / 100;
    else if (!ready_ns) at = started_ns + (uint64_t)(ready_after * SECOND);
    if (at == UINT64_MAX) return NULL;
    uint64_t left = at > now ? at - now : 0;
    *t = (struct timespec){(time_t)(left / SECOND), (long)(left % SECOND)};
    return t;
}

static void serve(void) {
    struct epoll_event events[256];
    struct timespec t;
    for (;;) {
        int n = epoll_pwait2(epoll_fd, events, 256, time_to_next(&t), NULL);
        if (n < 0 && errno != EINTR) die("epoll");
        if (!ready_ns && (ready_file ? !access(ready_file, F_OK) : now_ns() >= started_ns + ready_after * SECOND))
            become_ready();
        for (int i = 0; i < n; i++) {
            struct conn *c = events[i].data.ptr;
            if (!c) { accept_all(); continue; }
            bool alive = !(events[i].events & (EPOLLERR | EPOLLHUP));
            if (alive && events[i].events & EPOLLOUT) alive = conn_flush(c);
            if (alive && events[i].events & EPOLLIN) alive = receive(c);
            if (!alive) conn_close(c);
        }
        send_due();
    }
}

static int usage(const char *name) {
    fprintf(stderr, "usage: %s --port P [--core N] [--ready-after S | --ready-file PATH] [--before refuse|503]\n"
                    "       [--chunks N] [--rate CHUNKS_PER_SECOND] [--events FILE]\n", name);
    return 2;
}

int main(int argc, char **argv) {
    started_ns = now_ns();
    int core = -1;
    for (int i = 1; i + 1 < argc; i += 2) {
        const char *key = argv[i], *value = argv[i + 1];
        if (!strcmp(key, "--port")) port = atoi(value);
        else if (!strcmp(key, "--core")) core = atoi(value);
        else if (!strcmp(key, "--ready-after")) ready_after = atof(value);
        else if (!strcmp(key, "--ready-file")) ready_file = value;
        else if (!strcmp(key, "--before")) answers_before = !strcmp(value, "503");
        else if (!strcmp(key, "--chunks")) chunks_per_stream = atol(value);
        else if (!strcmp(key, "--rate")) rate = atof(value);
        else if (!strcmp(key, "--events")) events_path = value;
        else return usage(argv[0]);
    }
    if (!port || argc % 2 == 0 || chunks_per_stream < 1 || rate <= 0) return usage(argv[0]);
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
    prepare_answers();
    if (answers_before) open_port();
    if (!ready_file && ready_after <= 0) become_ready();
    serve();
}
