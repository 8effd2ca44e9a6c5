#include "migration/policy/compression_policy.hpp"

#include <algorithm>
#include <limits>

namespace migration {

namespace {

constexpr double kMiB = 1024.0 * 1024.0;
// Large enough that the socket buffers, which take the first megabytes at memory speed, do not
// pass for the link.
constexpr double kWindow = 8 * kMiB;
// One trial block of 64 KiB in so much raw data costs the sender about one per cent.
constexpr double kProbeEvery = 16 * kMiB;
// Compression must promise this much, or channels would flip to and fro on noise.
constexpr double kMargin = 1.3;
constexpr double kWorthRatio = 0.9;
// After compression proved slower than raw, so much goes raw before it is tried again; then twice
// as much.
constexpr double kFirstPenalty = 64 * kMiB;
// Writing takes at least this share of the time of a channel that the link holds up.
constexpr double kLinkBound = 0.25;

}  // namespace

CompressionPolicy::CompressionPolicy(Compression wanted, double cap)
    : wanted_(wanted), cap_(cap), compressing_(wanted == Compression::lz4) {}

bool CompressionPolicy::probe_due() const {
  return wanted_ == Compression::automatic && !compressing_ &&
         (compressor_ == 0 || since_probe_ >= kProbeEvery);
}

double CompressionPolicy::link() const {
  double rate = std::numeric_limits<double>::infinity();
  if (raw_link_ > 0) rate = raw_link_;
  if (cap_ > 0) rate = std::min(rate, cap_);
  return rate;
}

void CompressionPolicy::decide() {
  if (wanted_ != Compression::automatic || compressor_ == 0) return;
  const double need = link() * (compressing_ ? 1 : kMargin);
  compressing_ = compressor_ > need && ratio_ < kWorthRatio;
}

void CompressionPolicy::probed(double in, double out, double seconds) {
  since_probe_ = 0;
  compressor_ = in / std::max(seconds, 1e-9);
  ratio_ = out / in;
  decide();
}

void CompressionPolicy::sent_raw(double bytes, double seconds) {
  since_probe_ += bytes;
  window_.out += bytes;
  window_.write_seconds += seconds;
  if (window_.out < kWindow) return;
  raw_seen_ = raw_link_ = window_.out / std::max(window_.write_seconds, 1e-9);
  window_ = {};
  decide();
}

void CompressionPolicy::sent_compressed(double in, double out, double compress_seconds,
                                        double write_seconds) {
  window_.in += in;
  window_.out += out;
  window_.compress_seconds += compress_seconds;
  window_.write_seconds += write_seconds;
  if (window_.in < kWindow) return;
  const double total = window_.compress_seconds + window_.write_seconds;
  compressor_ = window_.in / std::max(window_.compress_seconds, 1e-9);
  ratio_ = window_.out / window_.in;
  const double carried = window_.in / std::max(total, 1e-9);
  if (carried < raw_seen_) {
    // What was promised did not come: the CPU is shared with the guest or with the peer, say.
    compressor_ = carried;
    raw_link_ = raw_seen_;
    penalty_ = penalty_ == 0 ? kFirstPenalty : 2 * penalty_;
    since_probe_ = -penalty_;
  } else if (window_.write_seconds >= kLinkBound * total) {
    raw_link_ = window_.out / total;
  } else {
    // The compressor limits: whether the link could carry more, a raw window will tell.
    raw_link_ = std::numeric_limits<double>::infinity();
  }
  window_ = {};
  decide();
}

}  // namespace migration
