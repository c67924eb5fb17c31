// Things that many rules have in common, kept once, by content. Ids begin at 1 and stay valid while
// referenced.
#pragma once

#include <cstdint>
#include <cstring>
#include <map>
#include <new>
#include <string>
#include <type_traits>

#include "flow_engine/row_slab.h"

namespace sluice {

// Content is compared byte by byte: whoever fills one in starts from `Content{}`, and it has no padding.
template <typename Content>
class ContentStore {
 public:
  static_assert(std::is_trivially_copyable_v<Content> && std::has_unique_object_representations_v<Content>);

  uint32_t acquire(const Content& content) {
    if (last_ != 0 && std::memcmp(&entry(last_).content, &content, sizeof content) == 0) {
      ++entry(last_).references;
      return last_;
    }
    auto [at, is_new] = ids_.try_emplace(key(content), 0);
    if (is_new) {
      at->second = entries_.allocate();
      if (at->second == 0) throw std::bad_alloc();
      entry(at->second) = Entry{content, 0};
    }
    last_ = at->second;
    ++entry(last_).references;
    return last_;
  }
  // Of what is held already.
  void acquire_again(uint32_t id) { ++entry(id).references; }
  // Whether that was the last reference, and the id means nothing any more.
  bool release(uint32_t id) {
    Entry& released = entry(id);
    if (__builtin_expect(--released.references != 0, 1)) return false;
    ids_.erase(key(released.content));
    if (last_ == id) last_ = 0;
    entries_.free(id);
    return true;
  }
  // Of what is held now, as the containers have it: content, its key and its place in the order.
  uint64_t memory_bytes() const { return ids_.size() * (sizeof(Entry) + sizeof(Content) + kNodeBytes); }
  // Also while another thread acquires: entries never move.
  const Content& get(uint32_t id) const { return entry(id).content; }

 private:
  static constexpr uint64_t kNodeBytes = 80;  // of a red-black tree, with the string's own

  struct Entry {
    Content content;
    uint32_t references;
  };
  Entry& entry(uint32_t id) const { return *reinterpret_cast<Entry*>(entries_.at(id)); }
  static std::string key(const Content& content) {
    return std::string(reinterpret_cast<const char*>(&content), sizeof content);
  }
  RowSlab entries_{(sizeof(Entry) + 7) / 8 * 8};
  std::map<std::string, uint32_t> ids_;
  uint32_t last_ = 0;  // most rules of a gateway share one: tried first
};

}  // namespace sluice
