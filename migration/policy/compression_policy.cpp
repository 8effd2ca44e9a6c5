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
// So does Zstandard have to carry more than LZ4.
constexpr double kZstdMargin = 1.1;
// After compression proved slower than raw, so much goes raw before it is tried again; then twice
// as much.
constexpr double kFirstPenalty = 64 * kMiB;
// Writing takes at least this share of the time of a channel that the link holds up.
constexpr double kLinkBound = 0.25;

}  // namespace

CompressionPolicy::CompressionPolicy(Compression wanted, double cap, bool zstd)
    : wanted_(wanted),
      cap_(cap),
      compressing_(wanted == Compression::lz4 || wanted == Compression::zstd),
      zstd_{.known = zstd, .used = wanted == Compression::zstd, .tried = {}, .lz4_tried = {}} {}

bool CompressionPolicy::probe_due() const {
  return wanted_ == Compression::automatic && !compressing_ &&
         (compressor_ == 0 || since_probe_ >= kProbeEvery);
}

bool CompressionPolicy::comparison_due() const {
  return wanted_ == Compression::automatic && zstd_.known && compressing_ && zstd_.lz4_sent > 0 &&
         (zstd_.tried.speed == 0 || zstd_.since_trial >= kProbeEvery);
}

void CompressionPolicy::share_link(double cap, unsigned channels) {
  if (cap == cap_ && channels == channels_) return;
  double factor = static_cast<double>(channels_) / channels;
  if (cap > 0) factor = cap_ > 0 ? cap / cap_ : 1;
  // Without a cap raw pages may not have been held up by the link. The next window tells.
  if (cap > 0 || compressing_) {
    const double most = cap > 0 ? cap : std::numeric_limits<double>::infinity();
    for (double* seen : {&raw_link_, &raw_seen_, &zstd_.lz4_sent}) {
      *seen = std::min(*seen * factor, most);
    }
  }
  cap_ = cap;
  channels_ = channels;
  window_ = {};
  decide();
}

double CompressionPolicy::link() const {
  double rate = std::numeric_limits<double>::infinity();
  if (raw_link_ > 0) rate = raw_link_;
  if (cap_ > 0) rate = std::min(rate, cap_);
  return rate;
}

CompressionPolicy::Codec CompressionPolicy::measured(double in, Packed packed) {
  return {in / std::max(packed.seconds, 1e-9), packed.out / in};
}

double CompressionPolicy::carried_by(Codec codec) const {
  return std::min(codec.speed, link() / codec.ratio);
}

void CompressionPolicy::decide() {
  if (wanted_ != Compression::automatic || compressor_ == 0) return;
  const double need = link() * (compressing_ ? 1 : kMargin);
  compressing_ = compressor_ > need && ratio_ < kWorthRatio && !look_at_raw_;
  zstd_.used = compressing_ && zstd_.tried.speed > 0 && zstd_.since_trial >= 0 &&
               carried_by(zstd_.tried) > kZstdMargin * carried_by(zstd_.lz4_tried);
}

void CompressionPolicy::probed(double in, Packed lz4) {
  since_probe_ = 0;
  const Codec codec = measured(in, lz4);
  compressor_ = codec.speed;
  ratio_ = codec.ratio;
  decide();
}

void CompressionPolicy::compared(double in, Packed lz4, Packed zstd) {
  zstd_.since_trial = 0;
  zstd_.tried = measured(in, zstd);
  zstd_.lz4_tried = measured(in, lz4);
  const BlockFormat before = format();
  decide();
  if (format() != before) window_ = {};
}

void CompressionPolicy::sent_raw(double bytes, double seconds) {
  since_probe_ += bytes;
  window_.out += bytes;
  window_.write_seconds += seconds;
  if (window_.out < kWindow) return;
  raw_seen_ = raw_link_ = window_.out / std::max(window_.write_seconds, 1e-9);
  look_at_raw_ = false;
  window_ = {};
  decide();
}

void CompressionPolicy::sent_compressed(double in, double out, double compress_seconds,
                                        double write_seconds) {
  zstd_.since_trial += in;
  window_.in += in;
  window_.out += out;
  window_.compress_seconds += compress_seconds;
  window_.write_seconds += write_seconds;
  if (window_.in < kWindow) return;
  const double total = std::max(window_.compress_seconds + window_.write_seconds, 1e-9);
  const double carried = window_.in / total;
  const double sent = window_.out / total;
  ratio_ = window_.out / window_.in;
  if (!zstd_.used) {
    compressor_ = window_.in / std::max(window_.compress_seconds, 1e-9);
    zstd_.lz4_sent = sent;
  }
  if (zstd_.used && sent / zstd_.tried.ratio < zstd_.lz4_sent / zstd_.lz4_tried.ratio) {
    // What was promised did not come: the CPU is shared with the guest or with the peer, say. The
    // pages differ from those of LZ4's window, so the ratios are those of one block.
    zstd_.penalty = zstd_.penalty == 0 ? kFirstPenalty : 2 * zstd_.penalty;
    zstd_.since_trial = -zstd_.penalty;
  } else if (carried < raw_seen_) {
    // Nor here.
    compressor_ = carried;
    raw_link_ = raw_seen_;
    penalty_ = penalty_ == 0 ? kFirstPenalty : 2 * penalty_;
    since_probe_ = -penalty_;
  } else if (raw_seen_ == 0 && carried < cap_) {
    // The cap let compression begin before a raw page was seen; they would carry as much, unless
    // the link is slower. A raw window will tell.
    look_at_raw_ = true;
  } else if (window_.write_seconds >= kLinkBound * total) {
    raw_link_ = sent;
  } else {
    // The compressor limits: whether the link could carry more, a raw window will tell.
    raw_link_ = std::numeric_limits<double>::infinity();
  }
  window_ = {};
  decide();
}

}  // namespace migration
