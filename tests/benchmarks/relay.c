/* About the least that can be done: whole lines go to everybody, the sender as well. No names, no checks, no memory.
 *
 * One thread, one epoll. In a turn, all that is there is read; its whole lines are put one after the other into one
 * buffer; then each client gets that buffer in one write. What a client does not take waits in a buffer of its own.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { READ = 65536, EVENTS = 1024, CLIENTS = 65536 };

struct buffer {
    char *data;
    size_t size, room;
};

struct client {
    struct buffer begun; /* a line that has no end yet */
    struct buffer owed;
    int place; /* in `everybody` */
};

static struct client *clients[CLIENTS]; /* by file descriptor */
static int everybody[CLIENTS], count, poller;
static struct buffer turn;

static void die(const char *what) {
    perror(what);
    exit(1);
}

static void append(struct buffer *to, const char *data, size_t size) {
    if (to->size + size > to->room) {
        to->room = 2 * (to->size + size);
        to->data = realloc(to->data, to->room);
        if (!to->data)
            die("realloc");
    }
    memcpy(to->data + to->size, data, size);
    to->size += size;
}

static void watch(int fd, int how, unsigned events) {
    struct epoll_event event = {.events = events, .data.fd = fd};
    if (epoll_ctl(poller, how, fd, &event))
        die("epoll_ctl");
}

static void leave(int fd) {
    struct client *client = clients[fd];
    everybody[client->place] = everybody[--count];
    clients[everybody[count]]->place = client->place;
    clients[fd] = NULL;
    free(client->begun.data);
    free(client->owed.data);
    free(client);
    close(fd);
}

/* Write what is owed and then `data`, as much as is taken; the rest is owed. */
static void give(int fd, const char *data, size_t size) {
    struct buffer *owed = &clients[fd]->owed;
    int waited = owed->size > 0;
    if (waited) {
        append(owed, data, size);
        data = owed->data;
        size = owed->size;
    }
    ssize_t sent = send(fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0)
        sent = 0; /* full, or gone: then the next read says so */
    if (waited) {
        memmove(owed->data, owed->data + sent, size - sent);
        owed->size = size - sent;
    } else if ((size_t)sent < size)
        append(owed, data + sent, size - sent);
    if (waited != (owed->size > 0))
        watch(fd, EPOLL_CTL_MOD, EPOLLIN | (owed->size ? EPOLLOUT : 0));
}

static void enter(int listener) {
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK), on = 1;
    if (fd < 0)
        return;
    if (fd >= CLIENTS)
        die("too many");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    clients[fd] = calloc(1, sizeof **clients);
    if (!clients[fd])
        die("calloc");
    clients[fd]->place = count;
    everybody[count++] = fd;
    watch(fd, EPOLL_CTL_ADD, EPOLLIN);
    give(fd, "hello\n", 6);
}

/* What is there goes into the buffer of this turn, up to the end of its last line. */
static void hear(int fd) {
    static char data[READ];
    ssize_t size = read(fd, data, sizeof data);
    if (size <= 0) {
        if (size == 0 || errno != EAGAIN)
            leave(fd);
        return;
    }
    struct buffer *begun = &clients[fd]->begun;
    char *end = memrchr(data, '\n', size);
    size_t whole = end ? end + 1 - data : 0;
    if (whole) {
        append(&turn, begun->data ? begun->data : "", begun->size);
        append(&turn, data, whole);
        begun->size = 0;
    }
    append(begun, data + whole, size - whole);
}

int main(void) {
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, length) || listen(listener, 1024))
        die("listen");
    getsockname(listener, (struct sockaddr *)&address, &length);
    poller = epoll_create1(0);
    watch(listener, EPOLL_CTL_ADD, EPOLLIN);
    printf("relay listens on 127.0.0.1 port %d\n", ntohs(address.sin_port));
    fflush(stdout);
    for (;;) {
        static struct epoll_event events[EVENTS];
        int ready = epoll_wait(poller, events, EVENTS, -1);
        turn.size = 0;
        for (int i = 0; i < ready; i++) {
            int fd = events[i].data.fd;
            if (fd == listener)
                enter(fd);
            else {
                if (events[i].events & EPOLLOUT)
                    give(fd, "", 0);
                if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
                    hear(fd);
            }
        }
        if (turn.size)
            for (int i = 0; i < count; i++)
                give(everybody[i], turn.data, turn.size);
    }
}
