/* expat on the files of the benchmarks, timing itself.
 *
 *   expat FILE...
 *
 * Then for each line on stdin, the number of a file and how many times to parse it, it prints the
 * CPU time that took in nanoseconds. Namespaces are resolved, as in XMPP servers. */

#include <expat.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { PIECE = 65536, MAX_FILES = 16 };

struct file {
    char *bytes;
    size_t len;
};

static size_t seen;

static void start(void *data, const XML_Char *name, const XML_Char **attributes) {
    (void)data, (void)name, (void)attributes;
    seen++;
}

static void end(void *data, const XML_Char *name) {
    (void)data, (void)name;
    seen++;
}

static void text(void *data, const XML_Char *text, int len) {
    (void)data, (void)text;
    seen += (size_t)len;
}

static void fail(const char *what) {
    fprintf(stderr, "expat: %s\n", what);
    exit(1);
}

static struct file load(const char *path) {
    struct file file = {NULL, 0};
    FILE *in = fopen(path, "rb");
    if (!in || fseek(in, 0, SEEK_END) != 0)
        fail(path);
    long len = ftell(in);
    rewind(in);
    file.bytes = malloc((size_t)len);
    file.len = (size_t)len;
    if (!file.bytes || fread(file.bytes, 1, file.len, in) != file.len)
        fail(path);
    fclose(in);
    return file;
}

/* The stanzas of a stream are inside an element. */
static void parse(struct file file) {
    static const char ROOT[] = "<stream>";
    XML_Parser parser = XML_ParserCreateNS(NULL, '\n');
    if (!parser)
        fail("no parser");
    XML_SetElementHandler(parser, start, end);
    XML_SetCharacterDataHandler(parser, text);
    if (XML_Parse(parser, ROOT, sizeof ROOT - 1, 0) != XML_STATUS_OK)
        fail("root refused");
    for (size_t at = 0; at < file.len; at += PIECE) {
        size_t left = file.len - at;
        if (XML_Parse(parser, file.bytes + at, (int)(left < PIECE ? left : PIECE), 0) != XML_STATUS_OK)
            fail(XML_ErrorString(XML_GetErrorCode(parser)));
    }
    XML_ParserFree(parser);
}

static unsigned long long now(void) {
    struct timespec time;
    if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time) != 0)
        fail("no clock");
    return (unsigned long long)time.tv_sec * 1000000000ULL + (unsigned long long)time.tv_nsec;
}

int main(int count, char **paths) {
    struct file files[MAX_FILES];
    if (count < 2 || count > MAX_FILES)
        fail("name some files");
    for (int n = 1; n < count; n++)
        files[n - 1] = load(paths[n]);
    int which;
    unsigned long times;
    while (scanf("%d %lu", &which, &times) == 2) {
        if (which < 0 || which >= count - 1)
            fail("no such file");
        unsigned long long before = now();
        for (; times > 0; times--)
            parse(files[which]);
        printf("%llu\n", now() - before);
        fflush(stdout);
    }
    return seen == 0;
}
