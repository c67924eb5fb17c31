#include "slow_path/capture_file.h"

#include <cerrno>
#include <cstring>

#include "slow_path/native_fault.h"

namespace sluice {
namespace {

constexpr int kEthernetLink = 1;  // LINKTYPE_ETHERNET
constexpr uint32_t kMicrosecondMagic = 0xa1b2c3d4;

// pcap-savefile(5)
struct FileHeader {
  uint32_t magic = kMicrosecondMagic;
  uint16_t major = 2, minor = 4;
  uint32_t zone = 0, accuracy = 0;
  uint32_t snap_length = CaptureWriter::kSnapLength;
  uint32_t link_type = kEthernetLink;
};
static_assert(sizeof(FileHeader) == 24);

struct RecordHeader {
  uint32_t seconds, microseconds, captured, length;
};

}  // namespace

CaptureReader::CaptureReader(const std::string& path) : path_(path) {
  char error[PCAP_ERRBUF_SIZE] = {};
  pcap_.reset(pcap_open_offline_with_tstamp_precision(path.c_str(), PCAP_TSTAMP_PRECISION_NANO, error));
  if (pcap_ == nullptr) {
    const std::string reason = error;
    throw NativeFault("CAPTURE_OPEN", reason.find(path) == std::string::npos ? path + ": " + reason : reason,
                      errno);
  }
  const int link = pcap_datalink(pcap_.get());
  if (link != DLT_EN10MB) {
    const char* name = pcap_datalink_val_to_name(link);
    throw NativeFault("CAPTURE_FORMAT", path + ": link type " +
                                            (name != nullptr ? name : std::to_string(link)) +
                                            " is not Ethernet (EN10MB)");
  }
  advance();
}

void CaptureReader::advance() {
  data_ = nullptr;
  pcap_pkthdr* header = nullptr;
  const u_char* data = nullptr;
  const int result = pcap_next_ex(pcap_.get(), &header, &data);
  if (result == 1) {
    stamp_ = make_time(static_cast<uint32_t>(header->ts.tv_sec), static_cast<uint32_t>(header->ts.tv_usec));
    data_ = data;
    length_ = header->caplen;
  } else if (result == PCAP_ERROR) {
    damage_ = path_ + ": " + pcap_geterr(pcap_.get());
  }
}

CaptureWriter::CaptureWriter(const std::string& path) : path_(path), file_(std::fopen(path.c_str(), "wb")) {
  if (file_ == nullptr) throw NativeFault("CAPTURE_OPEN", path + ": " + std::strerror(errno), errno);
  std::setvbuf(file_.get(), nullptr, _IOFBF, 1 << 16);
  const FileHeader header;
  failed_ = std::fwrite(&header, sizeof header, 1, file_.get()) != 1;
}

void CaptureWriter::write(const uint8_t* data, uint32_t length, Nanoseconds stamp) {
  const RecordHeader header = {whole_seconds(stamp), second_fraction(stamp) / 1000, length, length};
  const bool written = std::fwrite(&header, sizeof header, 1, file_.get()) == 1 &&
                       std::fwrite(data, 1, length, file_.get()) == length;
  if (!written) failed_ = true;
}

void CaptureWriter::close() {
  if (file_ == nullptr) return;
  const bool closed = std::fclose(file_.release()) == 0;
  if (failed_ || !closed) throw NativeFault("CAPTURE_OPEN", path_ + ": cannot be written", EIO);
}

}  // namespace sluice
