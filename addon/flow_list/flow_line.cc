#include "flow_list/flow_line.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>

namespace sluice {
namespace {

constexpr size_t kPiece = kFlowTextSlack;
// Integers are told as they are below 2^53; from there on a double's shortest digits differ from an
// integer's.
constexpr double kExactIntegers = 9007199254740992.0;
constexpr double kPlainNumbers = 1e21;

// All that a line holds but its texts, every number as long as it can be.
constexpr size_t kMostOfLine = 200 + 3 * 16 + 3 * 5 + 2 * 10 + 7 * 21;
static_assert(kMostOfLine + kPiece <= kFlowLineBytes);

struct Octet {
  char text[4];  // and a dot
  uint8_t length;
};

constexpr std::array<Octet, 256> octets() {
  std::array<Octet, 256> all{};
  for (unsigned value = 0; value < 256; value++) {
    Octet& octet = all[value];
    if (value >= 100) octet.text[octet.length++] = static_cast<char>('0' + value / 100);
    if (value >= 10) octet.text[octet.length++] = static_cast<char>('0' + value / 10 % 10);
    octet.text[octet.length++] = static_cast<char>('0' + value % 10);
    octet.text[octet.length++] = '.';
  }
  return all;
}
constexpr std::array<Octet, 256> kOctets = octets();

constexpr std::array<char, 200> pairs() {
  std::array<char, 200> all{};
  for (unsigned value = 0; value < 100; value++) {
    all[2 * value] = static_cast<char>('0' + value / 10);
    all[2 * value + 1] = static_cast<char>('0' + value % 10);
  }
  return all;
}
constexpr std::array<char, 200> kPairs = pairs();

// What stands between the values; a copy of a known size, up to a piece beyond its end.
template <size_t N>
char* literal(char* at, const char (&text)[N]) {
  std::memcpy(at, text, N - 1);
  return at + N - 1;
}

char* address(char* at, uint32_t value) {
  for (int bits = 24; bits >= 0; bits -= 8) {
    const Octet& octet = kOctets[value >> bits & 0xff];
    std::memcpy(at, octet.text, sizeof octet.text);
    at += octet.length;
  }
  return at - 1;
}

char* small(char* at, uint32_t value) {
  if (value < 10) {
    *at = static_cast<char>('0' + value);
    return at + 1;
  }
  int digits = 2;
  for (uint64_t most = 100; most <= value; most *= 10) digits++;
  char* const end = at + digits;
  for (at = end; value >= 100; value /= 100) std::memcpy(at -= 2, &kPairs[value % 100 * 2], 2);
  if (value >= 10) {
    std::memcpy(at - 2, &kPairs[value * 2], 2);
  } else {
    at[-1] = static_cast<char>('0' + value);
  }
  return end;
}

// As JavaScript tells a number from 2^53 to 10^21: the fewest digits that no other number has, then zeros.
char* large(char* at, double value) {
  char digits[32];
  const auto [end, error] =
      std::to_chars(digits, digits + sizeof digits, value, std::chars_format::scientific);
  const char* const exponent =
      std::find(static_cast<const char*>(digits), static_cast<const char*>(end), 'e');
  int power = 0;
  std::from_chars(exponent + 2, end, power);
  char* const first = at;
  *at++ = digits[0];
  if (digits[1] == '.') at = std::copy(static_cast<const char*>(digits) + 2, exponent, at);
  while (at - first <= power) *at++ = '0';
  return at;
}

char* number(char* at, double value) {
  if (value >= 0 && value <= UINT32_MAX) return small(at, static_cast<uint32_t>(value));
  if (value >= 0 && value < kExactIntegers)
    return std::to_chars(at, at + 20, static_cast<uint64_t>(value)).ptr;
  return value >= 0 && value < kPlainNumbers ? large(at, value) : literal(at, "null");
}

struct Text {
  const char* at;
  size_t length;
};

class Writer {
 public:
  explicit Writer(std::span<const char> texts) : texts_(texts) {}

  // Whether the texts of a line are whole.
  bool take(const FlowLine& line) {
    return find(line.head, &head_) && find(line.underlay, &underlay_) && find(line.forward_path, &forward_) &&
           find(line.reverse_path, &reverse_);
  }

  size_t length() const { return head_.length + underlay_.length + forward_.length + reverse_.length; }

  char* write(char* at, const FlowLine& line) const {
    at = literal(at, "{\"id\":\"");
    at = small(at, line.row);
    *at++ = '.';
    at = small(at, line.generation);
    at = copy(at, head_);
    at = endpoint(at, line.inside_address, line.inside_port);
    at = literal(at, "},\"nat\":{\"address\":\"");
    at = endpoint(at, line.nat_address, line.nat_port);
    at = literal(at, "},\"remote\":{\"address\":\"");
    at = endpoint(at, line.remote_address, line.remote_port);
    at = copy(at, underlay_);
    at = direction(at, forward_, line.forward_packets, line.forward_bytes);
    at = literal(at, "},\"reverse\":{\"path\":");
    at = direction(at, reverse_, line.reverse_packets, line.reverse_bytes);
    at = literal(at, "},\"ageMs\":");
    at = number(at, line.age_ms);
    at = literal(at, ",\"idleMs\":");
    at = number(at, line.idle_ms);
    at = literal(at, ",\"expiresInMs\":");
    at = number(at, line.expires_in_ms);
    return literal(at, "}\n");
  }

 private:
  bool find(uint32_t place, Text* text) const {
    uint16_t length;
    if (place + sizeof length + kPiece > texts_.size()) return false;
    std::memcpy(&length, texts_.data() + place, sizeof length);
    *text = {texts_.data() + place + sizeof length, length};
    return place + sizeof length + length + kPiece <= texts_.size();
  }

  // In whole pieces, the last one beyond the end: cheaper than a copy of just so many bytes.
  static char* copy(char* at, Text text) {
    for (size_t done = 0; done < text.length; done += kPiece) std::memcpy(at + done, text.at + done, kPiece);
    return at + text.length;
  }

  static char* endpoint(char* at, uint32_t value, uint16_t port) {
    at = address(at, value);
    at = literal(at, "\",\"port\":");
    return small(at, port);
  }

  static char* direction(char* at, Text path, double packets, double bytes) {
    at = copy(at, path);
    at = number(at, packets);
    at = literal(at, ",\"bytes\":");
    return number(at, bytes);
  }

  std::span<const char> texts_;
  Text head_, underlay_, forward_, reverse_;
};

}  // namespace

ptrdiff_t format_flow_lines(std::span<const FlowLine> lines, std::span<const char> texts,
                            std::span<char> out) {
  Writer writer(texts);
  char* at = out.data();
  char* const end = at + out.size();
  for (const FlowLine& line : lines) {
    if (!writer.take(line) || static_cast<size_t>(end - at) < kFlowLineBytes + writer.length()) return -1;
    at = writer.write(at, line);
  }
  return at - out.data();
}

}  // namespace sluice
