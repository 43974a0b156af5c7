/*
 * http_load: closed-loop HTTP/1.1 load. Every connection sends one request, waits for the whole answer, sends the next.
 *
 *     http_load PORT CONNECTIONS REQUESTS FIRST <REQUEST
 *
 * stdin carries one whole request, head and body; each "{n}" in it becomes the request's number, seven digits from FIRST
 * on (so a Content-Length counts seven bytes for it). It is sent REQUESTS times to 127.0.0.1:PORT over CONNECTIONS
 * connections that are kept. Printed is one line of JSON; times are CLOCK_MONOTONIC, which all processes of a machine share.
 * The first answer that is no 2xx goes to stderr. One thread, epoll; answers need a Content-Length.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    REQUEST_BYTES_MAX = 16 * 1024,
    ANSWER_BYTES_MAX = 64 * 1024,
    NUMBER_DIGITS = 7,
    CONNECTIONS_MAX = 1000,
    EVENTS_MAX = 256,
    SILENCE_MS_MAX = 30 * 1000, /* with no answer for so long the server is stuck: we end with what there is */
};

struct connection {
    int fd; /* -1: lost, and not opened again */
    double sent_at;
    size_t answer_length;
    char answer[ANSWER_BYTES_MAX + 1];
};

static char request[REQUEST_BYTES_MAX + 1]; /* as given */
static long requests, first, begun, accepted, refused, failed;
static double started_at, ended_at;
static double *latencies_s; /* of the accepted */
static int poller, open_connections;

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static void die(const char *what) {
    perror(what);
    exit(1);
}

/* The request with its number in place of every "{n}"; gives its length. */
static size_t write_request(char *out, long number) {
    const char *from = request, *mark;
    char *to = out;
    while ((mark = strstr(from, "{n}")) != NULL) {
        to = mempcpy(to, from, (size_t)(mark - from));
        to += sprintf(to, "%0*ld", NUMBER_DIGITS, number);
        from = mark + 3;
    }
    size_t rest = strlen(from);
    memcpy(to, from, rest);
    return (size_t)(to - out) + rest;
}

static void open_connection(struct connection *connection, int port) {
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
    int one = 1;
    connection->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connection->fd < 0) die("socket");
    if (connect(connection->fd, (struct sockaddr *)&address, sizeof address) < 0) die("connect");
    setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (epoll_ctl(poller, EPOLL_CTL_ADD, connection->fd, &event) < 0) die("epoll_ctl");
    open_connections++;
}

static void lose_connection(struct connection *connection) {
    close(connection->fd);
    connection->fd = -1;
    open_connections--;
}

/* Sends the next request, if one is left. A request fits the socket's buffer: the write never waits for long. */
static void send_next(struct connection *connection) {
    static char out[REQUEST_BYTES_MAX * 4]; /* a mark grows from three bytes to seven */
    if (begun == requests) {
        lose_connection(connection);
        return;
    }
    size_t length = write_request(out, first + begun++);
    connection->answer_length = 0;
    connection->sent_at = now();
    if (send(connection->fd, out, length, MSG_NOSIGNAL) != (ssize_t)length) {
        failed++;
        lose_connection(connection);
    }
}

/* The length of the answer, head and body; 0 while its head is not complete, -1 where it tells no length. */
static long length_of_answer(const struct connection *connection) {
    const char *blank = strstr(connection->answer, "\r\n\r\n");
    if (blank == NULL) return 0;
    const char *length = strcasestr(connection->answer, "\r\ncontent-length:");
    if (length == NULL || length > blank) return -1;
    return (blank - connection->answer) + 4 + atol(strchr(length, ':') + 1);
}

static void count_answer(const struct connection *connection) {
    ended_at = now();
    if (strncmp(connection->answer, "HTTP/1.1 2", 10) == 0)
        latencies_s[accepted++] = ended_at - connection->sent_at;
    else if (refused++ == 0)
        fprintf(stderr, "%s\n", connection->answer);
}

/* Reads what there is of an answer; a whole one is counted and followed by the next request. */
static void receive(struct connection *connection) {
    size_t room = ANSWER_BYTES_MAX - connection->answer_length;
    ssize_t length = recv(connection->fd, connection->answer + connection->answer_length, room, 0);
    if (length > 0) {
        connection->answer_length += (size_t)length;
        connection->answer[connection->answer_length] = '\0';
    }
    long whole = length_of_answer(connection);
    if (length <= 0 || whole < 0 || (size_t)whole > ANSWER_BYTES_MAX || (whole == 0 && (size_t)length == room)) {
        failed++;
        lose_connection(connection);
        return;
    }
    if (whole == 0 || connection->answer_length < (size_t)whole) return;
    count_answer(connection);
    send_next(connection);
}

static int by_size(const void *left, const void *right) {
    double difference = *(const double *)left - *(const double *)right;
    return (difference > 0) - (difference < 0);
}

/* The latency that this share of the accepted requests did not exceed, in milliseconds. */
static double percentile_ms(double share) {
    if (accepted == 0) return 0;
    long index = (long)(share * (double)accepted);
    return 1e3 * latencies_s[index < accepted ? index : accepted - 1];
}

static void print_result(void) {
    qsort(latencies_s, (size_t)accepted, sizeof *latencies_s, by_size);
    printf("{\"accepted\":%ld,\"refused\":%ld,\"failed\":%ld,\"started_at\":%.6f,\"ended_at\":%.6f,"
           "\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"max_ms\":%.3f}\n",
           accepted, refused, failed + requests - begun, started_at, ended_at, percentile_ms(0.5), percentile_ms(0.99),
           percentile_ms(1));
}

int main(int count, char **words) {
    if (count != 5) {
        fprintf(stderr, "usage: http_load PORT CONNECTIONS REQUESTS FIRST <REQUEST\n");
        return 2;
    }
    int port = atoi(words[1]), connections = atoi(words[2]);
    requests = atol(words[3]);
    first = atol(words[4]);
    if (connections < 1 || connections > CONNECTIONS_MAX || requests < connections) {
        fprintf(stderr, "expected 1 to %d connections and a request for each\n", CONNECTIONS_MAX);
        return 2;
    }
    size_t length = fread(request, 1, REQUEST_BYTES_MAX, stdin);
    request[length] = '\0';
    latencies_s = calloc((size_t)requests, sizeof *latencies_s);
    struct connection *all = calloc((size_t)connections, sizeof *all);
    if (latencies_s == NULL || all == NULL) die("out of memory");
    poller = epoll_create1(EPOLL_CLOEXEC);
    for (int i = 0; i < connections; i++) open_connection(&all[i], port);

    started_at = now();
    for (int i = 0; i < connections; i++) send_next(&all[i]);
    while (open_connections > 0) {
        struct epoll_event events[EVENTS_MAX];
        int ready = epoll_wait(poller, events, EVENTS_MAX, SILENCE_MS_MAX);
        if (ready == 0) {
            failed += open_connections;
            break;
        }
        for (int i = 0; i < ready; i++) receive(events[i].data.ptr);
    }
    print_result();
    return 0;
}
