#pragma once

/// What a thread asks of the kernel's scheduler, for itself, and for good but for WakesFirst and
/// keep_off(). None
/// of it fails: what is not permitted or not known to the kernel is done without. Whoever started
/// the program under another policy than SCHED_OTHER, or at another nice value than 0, has said
/// what its threads are worth: they rise no further.
namespace vmm {

/// Somebody waits for this thread as often as it wakes up: a guest, or who reads its memory. It
/// asks for short slices, so that it takes the processor at once from a thread that has just got it
/// rather than wait for the end of that one's slice (milliseconds). It gets no larger share for
/// that. No privilege is needed; Linux 6.12, without effect before.
void wake_promptly();

/// The same for a thread that works little each time, so that a larger share of the processor does
/// no harm: with the privilege (CAP_SYS_NICE, or RLIMIT_NICE) it gets the highest nice value.
void wake_first();

/// wake_first() for as long as it lives. The thread that made it also destroys it. Threads that are
/// made meanwhile are ordinary ones.
class WakesFirst {
 public:
  WakesFirst();
  ~WakesFirst();
  WakesFirst(const WakesFirst&) = delete;
  WakesFirst& operator=(const WakesFirst&) = delete;

 private:
  bool ordinary_ = false;  ///< it was, and
  int nice_ = 0;           ///< had this nice value
};

/// For a thread that does the same small piece of work for each thing that it is asked for, and
/// sleeps in between: with the privilege (CAP_SYS_NICE, or RLIMIT_RTPRIO) it becomes a real-time
/// thread, of the lowest priority, which no ordinary thread makes wait but by a lock. Whether it
/// did; otherwise it is as after wake_first().
bool wake_at_once();

/// Goes to this processor, and is not kept there: for a real-time thread, which stays where it is,
/// other than an ordinary one, which the kernel moves to who wakes it. Whether it may run there.
bool move_to(int processor);

/// Runs anywhere but on this processor from now on, of those that it was given; where that is the
/// only one, there. Any of them again for -1. Processors that somebody gives the thread meanwhile
/// are kept, unless they are those that it has then. Cheap when nothing changes.
void keep_off(int processor);

/// Nobody waits for this thread. It gets the processor after all that are as any other, and a tenth
/// of what one of those gets where they would fill it.
void step_aside();

}  // namespace vmm
