/*
 * Configuration files: whether they have changed, their lines and words.
 *
 * SPDX-License-Identifier: MIT
 */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dns/dns.h"

#define BLANKS " \t\r\v\f"

static void look(const char *path, int64_t stamp[4])
{
    struct stat info;

    memset(stamp, 0, 4 * sizeof *stamp);
    if (stat(path, &info) < 0)
        return;
    stamp[0] = info.st_mtim.tv_sec * GCORE__NS + info.st_mtim.tv_nsec;
    stamp[1] = info.st_ctim.tv_sec * GCORE__NS + info.st_ctim.tv_nsec;
    stamp[2] = (int64_t)info.st_ino;
    stamp[3] = info.st_size + 1;
}

bool gcore__file_changed(gcore__file *file)
{
    int64_t stamp[4];

    look(file->path, stamp);
    if (file->known && memcmp(stamp, file->stamp, sizeof stamp) == 0)
        return false;
    file->known = true;
    memcpy(file->stamp, stamp, sizeof stamp);
    return true;
}

/* All of it; what a failing read leaves is taken as it is. */
static char *read_all(int fd)
{
    size_t room = 4096;
    size_t length = 0;
    char *text = gcore__alloc(room);

    while (text) {
        ssize_t got = read(fd, text + length, room - length - 1);
        char *wider;

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        length += (size_t)got;
        if (room - length > 1)
            continue;
        room *= 2;
        wider = gcore__resize(text, room);
        if (!wider) {
            gcore__free(text);
            return NULL;
        }
        text = wider;
    }
    if (text)
        text[length] = '\0';
    return text;
}

int gcore__file_read(const char *path, char **out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    *out = fd < 0 ? gcore__alloc(1) : read_all(fd);
    if (fd >= 0)
        close(fd);
    return *out ? 0 : -ENOMEM;
}

bool gcore__file_line(char **text, const char *comments, char **line)
{
    char *end;

    if (!**text)
        return false;
    *line = *text;
    end = *text + strcspn(*text, "\n");
    *text = *end ? end + 1 : end;
    *end = '\0';
    (*line)[strcspn(*line, comments)] = '\0';
    return true;
}

char *gcore__file_word(char **line)
{
    char *word = *line + strspn(*line, BLANKS);
    char *end = word + strcspn(word, BLANKS);

    *line = *end ? end + 1 : end;
    *end = '\0';
    return *word ? word : NULL;
}
