/*
 * smsc_sink: the far ends of a load test in one process: an SMSC (SMPP 3.4) that takes every message and returns a receipt
 * for it, the HTTP server that callbacks go to, and a control port that tells what arrived. It never judges: the bench does.
 *
 *     smsc_sink            prints "smpp PORT http PORT control PORT" and serves 127.0.0.1 until it is killed
 *
 * Messages are told apart by their number: the last seven digits of a destination, the digits that end a callback's path.
 * The control port takes lines:
 *
 *     stats      one line of JSON (see answer_stats); times are CLOCK_MONOTONIC, which all processes of a machine share
 *     samples    some callbacks whole, a line "timestamp signature body" each, then an empty line
 *     reset      forgets everything counted so far, answers "ok"
 *
 * One thread, epoll. Input is trusted to come from this machine: what makes no sense is counted and its connection closed.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "bytes.h"

enum {
    NUMBER_DIGITS = 7,
    NUMBERS_MAX = 1000000,        /* messages told apart; a larger number is counted as foreign */
    CALLBACKS_EACH_MAX = 8,       /* numbered callbacks of one message told apart: a bit each */
    READ_BYTES = 64 * 1024,
    PDU_BYTES_MAX = 64 * 1024,    /* a submit_sm with the longest payload is 65 kB; ours are some 100 bytes */
    HTTP_HEAD_BYTES_MAX = 16 * 1024,
    PENDING_BYTES_MAX = 64 << 20, /* answers that a peer has not read: beyond it the peer is dead */
    SAMPLE_EVERY = 20,            /* one callback in so many is kept whole */
    SAMPLES_MAX = 200,
    EVENTS_MAX = 256,
};

/* Command ids and statuses of SMPP 3.4, sections 5.1.2.1 and 5.1.3. */
enum {
    GENERIC_NACK = 0x80000000,
    SUBMIT_SM = 0x00000004,
    DELIVER_SM = 0x00000005,
    UNBIND = 0x00000006,
    BIND_TRANSCEIVER = 0x00000009,
    ENQUIRE_LINK = 0x00000015,
    RESPONSE = 0x80000000, /* this bit makes an answer of a request */
    ESME_ROK = 0x00,
    ESME_RINVCMDID = 0x03,
    ESME_RINVBNDSTS = 0x04,
    HEADER_BYTES = 16,
};

enum role { SMPP_LISTENER, HTTP_LISTENER, CONTROL_LISTENER, SMPP_PEER, HTTP_PEER, CONTROL_PEER };

struct connection {
    int fd;
    enum role role;
    bool bound, closed, watches_writes;
    struct bytes received, pending;
};

/* What happened since the last reset. */
static struct {
    long submits, submits_unique, submits_duplicated, submits_foreign;
    long receipts_sent, receipts_acked, receipts_refused;
    long callbacks, callbacks_duplicated, callbacks_foreign, alerts_completed;
    long protocol_errors;
    double first_submit_at, last_submit_at, last_receipt_acked_at, last_callback_at;
} seen;

static uint8_t submitted[NUMBERS_MAX];   /* 1: a message of this number came */
static uint8_t called_back[NUMBERS_MAX]; /* bit n - 1: callback n of this number came */
static uint8_t completed[NUMBERS_MAX];   /* 1: a callback said that the alert of this number is completed */
static char *samples[SAMPLES_MAX];
static int samples_kept;
static uint32_t last_message_id, last_sequence; /* never reset: ids stay unique for everybody who is connected */
static int poller;

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

/* The number that the digits at the end of `text` make, at most NUMBER_DIGITS of them; -1 where it is none of ours. */
static long number_at_end(const char *text, size_t length) {
    long number = 0, unit = 1;
    int digits = 0;
    while (length > 0 && digits < NUMBER_DIGITS && text[length - 1] >= '0' && text[length - 1] <= '9') {
        number += unit * (text[--length] - '0');
        unit *= 10;
        digits++;
    }
    return digits == NUMBER_DIGITS && number < NUMBERS_MAX ? number : -1;
}

/* --- SMPP ------------------------------------------------------------------------------------------------------- */

/* The start of a PDU whose length end_pdu fills in; gives where it begins. */
static size_t begin_pdu(struct bytes *out, uint32_t command, uint32_t status, uint32_t sequence) {
    size_t start = out->length;
    append_u32(out, 0);
    append_u32(out, command);
    append_u32(out, status);
    append_u32(out, sequence);
    return start;
}

static void end_pdu(struct bytes *out, size_t start) {
    size_t length = out->length - start;
    for (int i = 0; i < 4; i++) out->at[start + i] = (unsigned char)(length >> (24 - 8 * i));
}

static void answer_empty(struct connection *peer, uint32_t command, uint32_t status, uint32_t sequence) {
    end_pdu(&peer->pending, begin_pdu(&peer->pending, command, status, sequence));
}

/* Reads a C-octet string of a body; NULL where its end is missing. */
static const char *take_cstring(const unsigned char **at, const unsigned char *end) {
    const unsigned char *nul = *at < end ? memchr(*at, 0, (size_t)(end - *at)) : NULL;
    const char *text = (const char *)*at;
    if (nul == NULL) return NULL;
    *at = nul + 1;
    return text;
}

/* A deliver_sm (section 4.6.1) that says that the message was delivered: the text of appendix B, and the two TLVs. */
static void send_receipt(struct connection *peer, const char *message_id, const char *source, const char *destination) {
    struct bytes *out = &peer->pending;
    char text[160];
    int text_length = snprintf(text, sizeof text,
                               "id:%s sub:001 dlvrd:001 submit date:2001010000 done date:2001010000 stat:DELIVRD err:000 text:",
                               message_id);
    last_sequence = last_sequence % 0x7fffffff + 1;
    size_t start = begin_pdu(out, DELIVER_SM, ESME_ROK, last_sequence);
    append_cstring(out, ""); /* service_type */
    append_u16(out, 0x0101); /* source: international, E.164 */
    append_cstring(out, destination);
    append_u16(out, 0x0500); /* destination: alphanumeric */
    append_cstring(out, source);
    append_octet(out, 0x04); /* esm_class: a delivery receipt */
    append_u16(out, 0);      /* protocol_id, priority_flag */
    append_u16(out, 0);      /* schedule_delivery_time, validity_period: both empty */
    append_u32(out, 0);      /* registered_delivery, replace_if_present_flag, data_coding, sm_default_msg_id */
    append_octet(out, (unsigned)text_length);
    append(out, text, (size_t)text_length);
    append_u16(out, 0x001e); /* receipted_message_id */
    append_u16(out, (unsigned)strlen(message_id) + 1);
    append_cstring(out, message_id);
    append_u16(out, 0x0427); /* message_state */
    append_u16(out, 1);
    append_octet(out, 2); /* DELIVERED */
    end_pdu(out, start);
    seen.receipts_sent++;
}

static void count_submit(const char *destination) {
    long number = number_at_end(destination, strlen(destination));
    seen.last_submit_at = now();
    if (seen.submits++ == 0) seen.first_submit_at = seen.last_submit_at;
    if (number < 0)
        seen.submits_foreign++;
    else if (submitted[number])
        seen.submits_duplicated++;
    else {
        submitted[number] = 1;
        seen.submits_unique++;
    }
}

/* A submit_sm (section 4.4.1): counted, answered with an id, and its receipt sent if it asks for one. */
static bool take_submit(struct connection *peer, uint32_t sequence, const unsigned char *at, const unsigned char *end) {
    if (take_cstring(&at, end) == NULL) return false; /* service_type */
    at += 2;                                          /* type and plan of the source */
    const char *source = take_cstring(&at, end);
    at += 2; /* type and plan of the destination */
    const char *destination = take_cstring(&at, end);
    at += 3; /* esm_class, protocol_id, priority_flag */
    if (source == NULL || destination == NULL) return false;
    if (take_cstring(&at, end) == NULL || take_cstring(&at, end) == NULL) return false; /* schedule, validity */
    if (at >= end) return false;
    bool wants_receipt = (*at & 0x03) == 0x01; /* registered_delivery: section 5.2.17 */

    char message_id[16];
    snprintf(message_id, sizeof message_id, "%u", ++last_message_id);
    size_t start = begin_pdu(&peer->pending, SUBMIT_SM | RESPONSE, ESME_ROK, sequence);
    append_cstring(&peer->pending, message_id);
    end_pdu(&peer->pending, start);
    count_submit(destination);
    if (wants_receipt) send_receipt(peer, message_id, source, destination);
    return true;
}

static void take_receipt_answer(uint32_t status) {
    if (status != ESME_ROK) {
        seen.receipts_refused++;
        return;
    }
    seen.receipts_acked++;
    seen.last_receipt_acked_at = now();
}

static bool take_pdu(struct connection *peer, const unsigned char *pdu, uint32_t length) {
    uint32_t command = read_u32(pdu + 4), status = read_u32(pdu + 8), sequence = read_u32(pdu + 12);
    switch (command) {
    case BIND_TRANSCEIVER: {
        size_t start = begin_pdu(&peer->pending, command | RESPONSE, ESME_ROK, sequence);
        append_cstring(&peer->pending, "sink");
        end_pdu(&peer->pending, start);
        peer->bound = true;
        return true;
    }
    case SUBMIT_SM:
        if (peer->bound) return take_submit(peer, sequence, pdu + HEADER_BYTES, pdu + length);
        answer_empty(peer, command | RESPONSE, ESME_RINVBNDSTS, sequence);
        return true;
    case ENQUIRE_LINK:
    case UNBIND:
        answer_empty(peer, command | RESPONSE, ESME_ROK, sequence);
        return true;
    case DELIVER_SM | RESPONSE:
        take_receipt_answer(status);
        return true;
    case ENQUIRE_LINK | RESPONSE:
        return true;
    default:
        seen.protocol_errors++;
        if (!(command & RESPONSE)) answer_empty(peer, GENERIC_NACK, ESME_RINVCMDID, sequence);
        return true;
    }
}

static bool take_smpp(struct connection *peer) {
    size_t taken = 0;
    while (peer->received.length - taken >= HEADER_BYTES) {
        const unsigned char *pdu = peer->received.at + taken;
        uint32_t length = read_u32(pdu);
        if (length < HEADER_BYTES || length > PDU_BYTES_MAX) return false;
        if (peer->received.length - taken < length) break;
        if (!take_pdu(peer, pdu, length)) return false;
        taken += length;
    }
    drop_front(&peer->received, taken);
    return true;
}

/* --- callbacks -------------------------------------------------------------------------------------------------- */

/* The value of a header, up to the end of its line; "" where there is none. `head` ends with a NUL. */
static const char *header_value(const char *head, const char *name, size_t *length) {
    size_t name_length = strlen(name);
    for (const char *line = strstr(head, "\r\n"); line != NULL; line = strstr(line, "\r\n")) {
        line += 2;
        if (strncasecmp(line, name, name_length) == 0 && line[name_length] == ':') {
            const char *value = line + name_length + 1;
            value += strspn(value, " ");
            *length = strcspn(value, "\r");
            return value;
        }
    }
    *length = 0;
    return "";
}

static void keep_sample(const char *head, const char *body, size_t body_length) {
    size_t timestamp_length, signature_length;
    const char *timestamp = header_value(head, "Tocsin-Timestamp", &timestamp_length);
    const char *signature = header_value(head, "Tocsin-Signature", &signature_length);
    char *sample = NULL;
    if (asprintf(&sample, "%.*s %.*s %.*s\n", (int)timestamp_length, timestamp, (int)signature_length, signature,
                 (int)body_length, body) < 0)
        die("out of memory");
    samples[samples_kept++] = sample;
}

/* Counts a callback by the number at the end of its path and the number in its header. */
static void count_callback(const char *head, const char *body, size_t body_length) {
    static const char done[] = "\"status\":\"completed\"";
    size_t length;
    const char *path = strchr(head, ' ');
    long number = path == NULL ? -1 : number_at_end(path + 1, strcspn(path + 1, " "));
    long n = atol(header_value(head, "Tocsin-Callback-Number", &length));
    seen.last_callback_at = now();
    if (seen.callbacks++ % SAMPLE_EVERY == 0 && samples_kept < SAMPLES_MAX) keep_sample(head, body, body_length);
    if (number < 0 || n < 1 || n > CALLBACKS_EACH_MAX) {
        seen.callbacks_foreign++;
        return;
    }
    uint8_t bit = (uint8_t)(1u << (n - 1));
    if (called_back[number] & bit) seen.callbacks_duplicated++;
    called_back[number] |= bit;
    if (!completed[number] && memmem(body, body_length, done, sizeof done - 1) != NULL) {
        completed[number] = 1;
        seen.alerts_completed++;
    }
}

/* Takes whole requests with a Content-Length; the answer is always 204 and the connection stays open. */
static bool take_http(struct connection *peer) {
    size_t taken = 0;
    for (;;) {
        char *head = (char *)peer->received.at + taken;
        size_t left = peer->received.length - taken, value_length;
        char *blank = memmem(head, left, "\r\n\r\n", 4);
        if (blank == NULL) {
            if (left > HTTP_HEAD_BYTES_MAX) return false;
            break;
        }
        size_t head_length = (size_t)(blank - head) + 4;
        *blank = '\0';
        size_t body_length = (size_t)atol(header_value(head, "Content-Length", &value_length));
        if (left < head_length + body_length) {
            *blank = '\r';
            break;
        }
        count_callback(head, head + head_length, body_length);
        append_text(&peer->pending, "HTTP/1.1 204 No Content\r\n\r\n");
        taken += head_length + body_length;
    }
    drop_front(&peer->received, taken);
    return true;
}

/* --- control ---------------------------------------------------------------------------------------------------- */

static void answer_stats(struct bytes *out) {
    char line[1024];
    snprintf(line, sizeof line,
             "{\"submits\":%ld,\"submits_unique\":%ld,\"submits_duplicated\":%ld,\"submits_foreign\":%ld,"
             "\"receipts_sent\":%ld,\"receipts_acked\":%ld,\"receipts_refused\":%ld,"
             "\"callbacks\":%ld,\"callbacks_duplicated\":%ld,\"callbacks_foreign\":%ld,\"alerts_completed\":%ld,"
             "\"protocol_errors\":%ld,\"first_submit_at\":%.6f,\"last_submit_at\":%.6f,"
             "\"last_receipt_acked_at\":%.6f,\"last_callback_at\":%.6f}\n",
             seen.submits, seen.submits_unique, seen.submits_duplicated, seen.submits_foreign, seen.receipts_sent,
             seen.receipts_acked, seen.receipts_refused, seen.callbacks, seen.callbacks_duplicated,
             seen.callbacks_foreign, seen.alerts_completed, seen.protocol_errors, seen.first_submit_at,
             seen.last_submit_at, seen.last_receipt_acked_at, seen.last_callback_at);
    append_text(out, line);
}

static void reset(void) {
    memset(&seen, 0, sizeof seen);
    memset(submitted, 0, sizeof submitted);
    memset(called_back, 0, sizeof called_back);
    memset(completed, 0, sizeof completed);
    while (samples_kept > 0) free(samples[--samples_kept]);
}

static bool take_control(struct connection *peer) {
    unsigned char *end;
    while (peer->received.length > 0 && (end = memchr(peer->received.at, '\n', peer->received.length)) != NULL) {
        *end = '\0';
        const char *asked = (const char *)peer->received.at;
        if (strcmp(asked, "stats") == 0)
            answer_stats(&peer->pending);
        else if (strcmp(asked, "samples") == 0) {
            for (int i = 0; i < samples_kept; i++) append_text(&peer->pending, samples[i]);
            append_text(&peer->pending, "\n");
        } else if (strcmp(asked, "reset") == 0) {
            reset();
            append_text(&peer->pending, "ok\n");
        } else
            return false;
        drop_front(&peer->received, (size_t)(end - peer->received.at) + 1);
    }
    return true;
}

/* --- sockets ---------------------------------------------------------------------------------------------------- */

static void watch(int operation, struct connection *connection) {
    struct epoll_event event = {.events = EPOLLIN | (connection->watches_writes ? (uint32_t)EPOLLOUT : 0u),
                                .data.ptr = connection};
    if (epoll_ctl(poller, operation, connection->fd, &event) < 0) die("epoll_ctl");
}

static struct connection *add_connection(int fd, enum role role) {
    struct connection *connection = calloc(1, sizeof *connection);
    if (connection == NULL) die("out of memory");
    connection->fd = fd;
    connection->role = role;
    watch(EPOLL_CTL_ADD, connection);
    return connection;
}

static void drop_connection(struct connection *connection) {
    close(connection->fd);
    free(connection->received.at);
    free(connection->pending.at);
    free(connection);
}

/* Listens on a free port of 127.0.0.1 and gives the port. */
static int listen_on_loopback(enum role role) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, length) < 0 || listen(fd, 512) < 0) die("listen");
    if (getsockname(fd, (struct sockaddr *)&address, &length) < 0) die("getsockname");
    add_connection(fd, role);
    return ntohs(address.sin_port);
}

static void accept_peers(const struct connection *listener) {
    static const enum role role_of_peer[] = {SMPP_PEER, HTTP_PEER, CONTROL_PEER};
    int fd, one = 1;
    while ((fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        add_connection(fd, role_of_peer[listener->role]);
    }
}

/* Reads what there is, once, and lets the peer's protocol take it. */
static void receive(struct connection *peer) {
    unsigned char *room = reserve(&peer->received, READ_BYTES);
    ssize_t length = recv(peer->fd, room, READ_BYTES, 0);
    if (length < 0 && errno == EAGAIN) return;
    if (length <= 0) {
        peer->closed = true;
        return;
    }
    peer->received.length += (size_t)length;
    bool understood = peer->role == SMPP_PEER   ? take_smpp(peer)
                      : peer->role == HTTP_PEER ? take_http(peer)
                                                : take_control(peer);
    if (!understood) {
        seen.protocol_errors++;
        peer->closed = true;
    }
}

/* Writes what the socket takes and asks to be woken for the rest. */
static void flush(struct connection *peer) {
    size_t sent = 0;
    while (sent < peer->pending.length) {
        ssize_t length = send(peer->fd, peer->pending.at + sent, peer->pending.length - sent, MSG_NOSIGNAL);
        if (length < 0) {
            if (errno != EAGAIN) peer->closed = true;
            break;
        }
        sent += (size_t)length;
    }
    drop_front(&peer->pending, sent);
    if (peer->pending.length > PENDING_BYTES_MAX) peer->closed = true;
    bool unfinished = peer->pending.length > 0;
    if (!peer->closed && unfinished != peer->watches_writes) {
        peer->watches_writes = unfinished;
        watch(EPOLL_CTL_MOD, peer);
    }
}

int main(void) {
    struct epoll_event events[EVENTS_MAX];
    signal(SIGPIPE, SIG_IGN);
    poller = epoll_create1(EPOLL_CLOEXEC);
    if (poller < 0) die("epoll_create1");
    int smpp = listen_on_loopback(SMPP_LISTENER), http = listen_on_loopback(HTTP_LISTENER);
    printf("smpp %d http %d control %d\n", smpp, http, listen_on_loopback(CONTROL_LISTENER));
    fflush(stdout);
    for (;;) {
        int count = epoll_wait(poller, events, EVENTS_MAX, -1);
        for (int i = 0; i < count; i++) {
            struct connection *connection = events[i].data.ptr;
            if (connection->role <= CONTROL_LISTENER) {
                accept_peers(connection);
                continue;
            }
            if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) receive(connection);
            if (!connection->closed) flush(connection);
            if (connection->closed) drop_connection(connection);
        }
    }
}
