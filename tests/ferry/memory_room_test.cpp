#include "ferry/memory_room.hpp"

#include <gtest/gtest.h>

#include <array>
#include <limits>
#include <string>
#include <vector>

#include "ferry/exit_status.hpp"
#include "ferry/host_memory.hpp"

namespace ferry {
namespace {

using Cgroups = std::vector<MemoryCgroup>;

constexpr const char* kMeminfo =
    "MemTotal:       24684084 kB\n"
    "MemFree:        22664192 kB\n"
    "MemAvailable:    2048 kB\n"
    "SwapCached:            0 kB\n"
    "SwapTotal:          4096 kB\n"
    "SwapFree:           1024 kB\n";

constexpr const char* kMountsV2 =
    "23 27 0:22 / /sys rw,nosuid shared:7 - sysfs sysfs rw\n"
    "29 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";

constexpr const char* kMountsV1 =
    "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n"
    "32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n"
    "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"
    "37 31 0:34 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd\n";

TEST(MemoryRoom, OfTheHostIsWhatIsAvailableAndFreeSwap) {
  EXPECT_EQ(host_room(kMeminfo), (MemoryRoom{"this host", 3 << 20}));
  EXPECT_EQ(host_room("MemAvailable: 5 kB\n"), (MemoryRoom{"this host", 5 << 10}));
  EXPECT_EQ(host_room(""), std::nullopt);
  EXPECT_EQ(host_room("MemAvailable:\nMemAvailable: x kB\n"), std::nullopt);
}

TEST(MemoryCgroups, AreAllAncestorsInVersion2) {
  EXPECT_EQ(memory_cgroups("0::/user.slice/a b\n", kMountsV2),
            (Cgroups{{2, "/sys/fs/cgroup/user.slice/a b"},
                     {2, "/sys/fs/cgroup/user.slice"},
                     {2, "/sys/fs/cgroup"}}));
  EXPECT_EQ(memory_cgroups("0::/\n", kMountsV2), (Cgroups{{2, "/sys/fs/cgroup"}}));
}

TEST(MemoryCgroups, AreThoseOfTheMemoryControllerInVersion1) {
  EXPECT_EQ(memory_cgroups("9:name=systemd:/s\n5:cpuset,memory:/job/7\n1:cpu:/c\n", kMountsV1),
            (Cgroups{{1, "/sys/fs/cgroup/memory/job/7"},
                     {1, "/sys/fs/cgroup/memory/job"},
                     {1, "/sys/fs/cgroup/memory"}}));
}

TEST(MemoryCgroups, BelowAMountedSubtreeEndAtItsRoot) {
  const std::string mounts = "40 23 0:26 /docker/42 /sys/fs/cgroup ro - cgroup2 cgroup rw\n";
  EXPECT_EQ(memory_cgroups("0::/docker/42/inner\n", mounts),
            (Cgroups{{2, "/sys/fs/cgroup/inner"}, {2, "/sys/fs/cgroup"}}));
  EXPECT_EQ(memory_cgroups("0::/docker/421\n", mounts), (Cgroups{{2, "/sys/fs/cgroup"}}));
  EXPECT_EQ(memory_cgroups("0::/elsewhere\n", mounts), (Cgroups{{2, "/sys/fs/cgroup"}}));
}

TEST(MemoryCgroups, HaveTheirMountPointsUnescaped) {
  EXPECT_EQ(memory_cgroups("0::/\n", "29 23 0:26 / /a\\040b\\9 rw - cgroup2 cgroup2 rw\n"),
            (Cgroups{{2, "/a b\\9"}}));
}

TEST(MemoryCgroups, AreNoneWhereNothingIsMountedOrSaid) {
  EXPECT_TRUE(memory_cgroups("0::/a\n4:memory:/a\n", "").empty());
  EXPECT_TRUE(memory_cgroups("", kMountsV2).empty());
  EXPECT_TRUE(memory_cgroups("0:\nnonsense\n0::relative\n", kMountsV2).empty());
  EXPECT_TRUE(memory_cgroups("0::/a\n", "short - cgroup2\n - \n").empty());
}

TEST(CgroupRoom, IsTheLimitMinusWhatIsUsedWithoutIdleCache) {
  EXPECT_EQ(cgroup_room({2, "/c"}, {"1000\n", "700\n", "anon 500\ninactive_file 150\n"}),
            (MemoryRoom{"the cgroup /c", 450}));
  EXPECT_EQ(
      cgroup_room({1, "/c"}, {"1000\n", "700\n", "inactive_file 1\ntotal_inactive_file 50\n"}),
      (MemoryRoom{"the cgroup /c", 350}));
  EXPECT_EQ(cgroup_room({2, "/c"}, {"1000\n", "700\n", ""}), (MemoryRoom{"the cgroup /c", 300}));
}

TEST(CgroupRoom, IsNeverLessThanNothing) {
  EXPECT_EQ(cgroup_room({2, "/c"}, {"1000\n", "1500\n", ""}), (MemoryRoom{"the cgroup /c", 0}));
  EXPECT_EQ(cgroup_room({2, "/c"}, {"1000\n", "10\n", "inactive_file 90\n"}),
            (MemoryRoom{"the cgroup /c", 1000}));
}

TEST(CgroupRoom, IsUnboundWithoutALimit) {
  EXPECT_EQ(cgroup_room({2, "/c"}, {"max\n", "700\n", ""}), std::nullopt);
  EXPECT_EQ(cgroup_room({1, "/c"}, {"9223372036854771712\n", "700\n", ""}), std::nullopt);
  EXPECT_EQ(cgroup_room({2, "/c"}, {}), std::nullopt);
}

TEST(RoomRefusal, NamesTheLeastRoomAndBothFigures) {
  const std::array rooms = {MemoryRoom{"this host", 4 << 20},
                            MemoryRoom{"the cgroup /job", 2 << 20},
                            MemoryRoom{"the cgroup /", 3 << 20}};
  EXPECT_EQ(room_refusal(2 << 20, rooms), std::nullopt);
  EXPECT_EQ(
      room_refusal(5 << 20, rooms),
      "the guest needs 5.0 MiB of memory and the cgroup /job has 2.0 MiB left. 'ferry receive "
      "--overcommit' takes it all the same");
  EXPECT_EQ(room_refusal(5 << 20, {}), std::nullopt);
}

TEST(RoomRefusal, LeavesToOthersWhatTheyWerePromised) {
  const std::array rooms = {MemoryRoom{"this host", 5 << 20, 4 << 20},
                            MemoryRoom{"the cgroup /job", 2 << 20}};
  EXPECT_EQ(room_refusal(1 << 20, rooms), std::nullopt);
  EXPECT_EQ(
      room_refusal(2 << 20, rooms),
      "the guest needs 2.0 MiB of memory and this host has 5.0 MiB left, of which 4.0 MiB are "
      "promised to VMs that are arriving in other processes. 'ferry receive --overcommit' "
      "takes it all the same");
  const std::array taken = {MemoryRoom{"this host", 1 << 20, 4 << 20}};
  EXPECT_NE(room_refusal(1, taken), std::nullopt);
  EXPECT_EQ(room_refusal(0, taken), std::nullopt);
}

TEST(CheckRoom, TellsWhatThisHostHasFromWhatItHasNot) {
  constexpr std::uint64_t kMost = std::numeric_limits<std::uint64_t>::max();
  EXPECT_NO_THROW(MemoryPromise(nullptr, 0, 0, false));
  EXPECT_THROW(MemoryPromise(nullptr, kMost, 0, false), Failure);
  EXPECT_NO_THROW(MemoryPromise(nullptr, kMost, kMost, false));
  EXPECT_NO_THROW(MemoryPromise(nullptr, kMost, 0, true));
}

}  // namespace
}  // namespace ferry
