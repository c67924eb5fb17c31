// Captures in and out: pcap and pcapng through libpcap; classic pcap, Ethernet, microseconds, written by
// hand.
#pragma once

#include <pcap/pcap.h>

#include <cstdio>
#include <memory>
#include <string>

#include "slow_path/clock.h"

namespace sluice {

// A capture with its next frame in view.
class CaptureReader {
 public:
  // Throws NativeFault CAPTURE_OPEN or CAPTURE_FORMAT.
  explicit CaptureReader(const std::string& path);

  bool at_end() const { return data_ == nullptr; }
  Nanoseconds stamp() const { return stamp_; }
  const uint8_t* data() const { return data_; }
  uint32_t length() const { return length_; }
  void advance();
  // Why the capture ended early, empty when it did not.
  const std::string& damage() const { return damage_; }

 private:
  struct Close {
    void operator()(pcap_t* pcap) const { pcap_close(pcap); }
  };
  std::string path_;
  std::unique_ptr<pcap_t, Close> pcap_;
  Nanoseconds stamp_ = 0;
  const uint8_t* data_ = nullptr;  // libpcap's, valid until advance()
  uint32_t length_ = 0;
  std::string damage_;
};

class CaptureWriter {
 public:
  static constexpr uint32_t kSnapLength = 262144;

  // Throws NativeFault CAPTURE_OPEN.
  explicit CaptureWriter(const std::string& path);
  void write(const uint8_t* data, uint32_t length, Nanoseconds stamp);
  // Throws NativeFault CAPTURE_OPEN when not everything could be written.
  void close();

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  std::string path_;
  std::unique_ptr<std::FILE, Close> file_;
  bool failed_ = false;
};

}  // namespace sluice
