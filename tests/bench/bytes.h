/*
 * bytes.h: a buffer that grows, and the integers and strings of SMPP in it (big-endian; C-octet strings end with a NUL).
 * Running out of memory ends the program.
 */
#ifndef BYTES_H
#define BYTES_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct bytes {
    unsigned char *at;
    size_t length, capacity;
};

static void die(const char *what) {
    perror(what);
    exit(1);
}

/* Room for `extra` more bytes at the end. */
static unsigned char *reserve(struct bytes *bytes, size_t extra) {
    if (bytes->length + extra > bytes->capacity) {
        bytes->capacity = 2 * (bytes->length + extra);
        bytes->at = realloc(bytes->at, bytes->capacity);
        if (bytes->at == NULL) die("out of memory");
    }
    return bytes->at + bytes->length;
}

static void append(struct bytes *bytes, const void *from, size_t length) {
    memcpy(reserve(bytes, length), from, length);
    bytes->length += length;
}

static void append_octet(struct bytes *bytes, unsigned value) {
    *reserve(bytes, 1) = (unsigned char)value;
    bytes->length++;
}

static void append_u16(struct bytes *bytes, unsigned value) {
    append_octet(bytes, value >> 8);
    append_octet(bytes, value & 0xff);
}

static void append_u32(struct bytes *bytes, uint32_t value) {
    append_u16(bytes, value >> 16);
    append_u16(bytes, value & 0xffff);
}

/* A C-octet string: with its NUL. */
static void append_cstring(struct bytes *bytes, const char *text) { append(bytes, text, strlen(text) + 1); }

static void append_text(struct bytes *bytes, const char *text) { append(bytes, text, strlen(text)); }

static void drop_front(struct bytes *bytes, size_t length) {
    memmove(bytes->at, bytes->at + length, bytes->length - length);
    bytes->length -= length;
}

static uint32_t read_u32(const unsigned char *at) {
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

#endif
