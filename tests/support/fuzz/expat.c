/* What expat makes of documents, for the checks in Rust: batches in on standard input, trees out on standard output.
 *
 * A batch is a length of four bytes, least significant first, and that many bytes of documents, each a length and its bytes. An
 * answer is a length and its bytes for each document: a tree in the notation of notation.rs, nothing if expat refuses it.
 * The parser is configured as in Prosody: namespaces on, the encoding detected by expat. */
#include <expat.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct bytes {
    char *at;
    size_t len, room;
};

static void fail(const char *why) {
    fprintf(stderr, "expat.c: %s\n", why);
    exit(1);
}

static void reserve(struct bytes *to, size_t more) {
    if (to->room - to->len >= more)
        return;
    to->room = (to->len + more) * 2;
    to->at = realloc(to->at, to->room);
    if (!to->at)
        fail("out of memory");
}

static void put(struct bytes *to, const char *from, size_t len) {
    reserve(to, len);
    memcpy(to->at + to->len, from, len);
    to->len += len;
}

static void put_len(struct bytes *to, uint32_t len) {
    const char four[4] = {(char)len, (char)(len >> 8), (char)(len >> 16), (char)(len >> 24)};
    put(to, four, 4);
}

static uint32_t get_len(const char *from) {
    const unsigned char *four = (const unsigned char *)from;
    return four[0] | (uint32_t)four[1] << 8 | (uint32_t)four[2] << 16 | (uint32_t)four[3] << 24;
}

/* expat writes a name in a namespace as its URI, the separator 1 and the local name. */
static void put_name(struct bytes *to, const char *name) {
    const char *local = strrchr(name, 1);
    if (local)
        put(to, name, (size_t)(local - name));
    put(to, "\2", 1);
    local = local ? local + 1 : name;
    put(to, local, strlen(local));
}

static void start(void *tree, const char *name, const char **attributes) {
    put(tree, "\1", 1);
    put_name(tree, name);
    for (; *attributes; attributes += 2) {
        put(tree, "\3", 1);
        put_name(tree, attributes[0]);
        put(tree, "\4", 1);
        put(tree, attributes[1], strlen(attributes[1]));
    }
    put(tree, "\5", 1);
}

static void end(void *tree, const char *name) {
    (void)name;
    put(tree, "\6", 1);
}

static void text(void *tree, const char *text, int len) {
    put(tree, text, (size_t)len);
}

static void answer(XML_Parser parser, const char *document, uint32_t len, struct bytes *to) {
    size_t before = to->len;
    put_len(to, 0);
    size_t tree = to->len;
    if (!XML_ParserReset(parser, NULL))
        fail("the parser cannot be reset");
    XML_SetUserData(parser, to);
    XML_SetElementHandler(parser, start, end);
    XML_SetCharacterDataHandler(parser, text);
    if (XML_Parse(parser, document, (int)len, 1) != XML_STATUS_OK)
        to->len = tree;
    size_t after = to->len;
    to->len = before;
    put_len(to, (uint32_t)(after - tree));
    to->len = after;
}

int main(void) {
    struct bytes in = {0}, out = {0};
    XML_Parser parser = XML_ParserCreateNS(NULL, 1);
    char four[4];
    if (!parser)
        fail("no parser");
    while (fread(four, 1, 4, stdin) == 4) {
        uint32_t size = get_len(four);
        in.len = out.len = 0;
        reserve(&in, size);
        if (fread(in.at, 1, size, stdin) != size)
            fail("a batch ends early");
        for (uint32_t at = 0; at < size;) {
            if (size - at < 4 || size - at - 4 < get_len(in.at + at))
                fail("a document ends early");
            uint32_t len = get_len(in.at + at);
            answer(parser, in.at + at + 4, len, &out);
            at += 4 + len;
        }
        if (fwrite(out.at, 1, out.len, stdout) != out.len || fflush(stdout))
            fail("nobody takes the answer");
    }
    return 0;
}
