// The headers compile as C++, and their functions link from it.
#include <gcore.h>

#include <cstdint>
#include <cstdio>

namespace
{

struct count {
    int posts = 0;
};

void posted(void *arg, std::int64_t result)
{
    if (result == 0)
        static_cast<count *>(arg)->posts++;
}

} // namespace

int main()
{
    gcore_hub_options options = {};
    gcore_hub *hub = nullptr;
    count counted;

    options.size = sizeof options;
    if (gcore_hub_new(&options, &hub) != 0 ||
        gcore_hub_post(hub, posted, &counted) != 0 || gcore_hub_run(hub) != 0)
        return 1;
    gcore_hub_unref(hub);
    std::printf("C++: %s\n", gcore_error_text(-GCORE_EIDLE));
    return counted.posts == 1 ? 0 : 1;
}
