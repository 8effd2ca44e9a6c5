#include "ferry/exit_status.hpp"

#include <gtest/gtest.h>

#include <cerrno>

namespace ferry {
namespace {

ExitStatus of(int error) { return status_of({error, std::generic_category()}); }

TEST(ExitStatus, TellsWhatIsForbiddenFromWhatIsNotThere) {
  for (const int error : {EACCES, EPERM, EROFS}) EXPECT_EQ(of(error), ExitStatus::no_permission);
  for (const int error : {ENOENT, ENOTDIR, EADDRINUSE, EEXIST, EHOSTUNREACH}) {
    EXPECT_EQ(of(error), ExitStatus::unavailable);
  }
  for (const int error : {ENOMEM, EMFILE, ENOSPC, EIO}) EXPECT_EQ(of(error), ExitStatus::os_error);
}

TEST(ExitStatus, TellsAPathThatIsAtFaultFromASystemThatIs) {
  for (const int error : {ENOENT, ENOTDIR, EISDIR, ELOOP, ENAMETOOLONG}) {
    EXPECT_TRUE(wrong_path({error, std::generic_category()})) << error;
  }
  for (const int error : {EACCES, EMFILE, ENOSPC, EIO}) {
    EXPECT_FALSE(wrong_path({error, std::generic_category()})) << error;
  }
}

}  // namespace
}  // namespace ferry
