// A packet's way through the groups: one at a time, or a burst side by side.
#include <rte_mbuf.h>
#include <rte_prefetch.h>

#include <algorithm>
#include <cstring>

#include "flow_engine/engine_state.h"

namespace sluice {
namespace {

const uint8_t* frame_of(const PacketContext& packet) { return rte_pktmbuf_mtod(packet.mbuf, const uint8_t*); }

void place(const PacketContext& packet, PacketView* view) {
  place_headers(frame_of(packet), packet.headers, view);
  static_assert(offsetof(PacketContext, mark) == offsetof(PacketContext, meta) + registers::kMark);
  static_assert(offsetof(PacketContext, tag) == offsetof(PacketContext, meta) + registers::kTags);
  view->base[static_cast<size_t>(Slot::kRegisters)] = reinterpret_cast<const uint8_t*>(&packet.meta);
}

void describe(const PacketContext& packet, const Group& group, PacketView* view) {
  describe_packet(frame_of(packet), packet.headers, packet.ingress_port_id, group.matches_integrity, view);
}

void view_of(const PacketContext& packet, const Group& group, PacketView* view) {
  describe(packet, group, view);
  place(packet, view);
}

// Where the packet's headers are is found out when something asks for it.
const PacketView& placed(Lookup* lookup) {
  if (!lookup->is_placed) place(*lookup->context, &lookup->view);
  lookup->is_placed = true;
  return lookup->view;
}

__attribute__((noinline)) const uint64_t* gather_by_view(const Shortlist::Key& key, Lookup* lookup) {
  uint64_t* word = lookup->word + key.at;
  const PatternShape& shape = key.table->pattern.shape;
  const PacketView& view = placed(lookup);
  for (uint8_t i = 0; i < key.words; ++i) word[i] = shape.word[i].value_in(view);
  return word;
}

// A packet's key for tables of one shape.
inline const uint64_t* gather(const Shortlist& shortlist, const Shortlist::Key& key, Lookup* lookup) {
  if (!key.is_in_frame) return gather_by_view(key, lookup);
  uint64_t* word = lookup->word + key.at;
  const ParsedPacket& headers = lookup->context->headers;
  const uint8_t* frame = frame_of(*lookup->context);
  const Shortlist::Gathered* gathered = shortlist.gathered() + key.gathered;
  uint64_t* next = word;
  for (const uint64_t* end = word + key.words - key.has_meta; next != end; ++next, ++gathered) {
    uint64_t value;
    std::memcpy(&value, gathered->place.in(frame, headers), sizeof value);
    *next = value & gathered->mask;
  }
  if (key.has_meta) *next = key.meta;
  return word;
}

// Several tables are left: what all their words tell. A table that they exclude is told by the right word
// next time.
__attribute__((noinline)) uint32_t narrow(Shortlist* shortlist, Lookup* lookup, uint32_t possible) {
  uint32_t narrowed = possible;
  for (uint32_t left = possible; left != 0; left &= left - 1) {
    const auto i = static_cast<size_t>(__builtin_ctz(left));
    const Shortlist::Planned& planned = shortlist->planned(i);
    const Shortlist::Key& key = shortlist->key(planned.key);
    const uint64_t* word = gather(*shortlist, key, lookup);
    if (planned.table->may_have(word, key.words)) continue;
    narrowed &= ~(1u << i);
    shortlist->tell_by(word, i);
  }
  return narrowed;
}

// In the order of all tables that are visited: those that were looked at and cannot have the packet's key.
uint32_t excluded(const Shortlist& shortlist, uint32_t possible) {
  uint32_t bits = 0;
  for (size_t i = 0; i < shortlist.planned_count(); ++i) {
    if ((possible >> i & 1) == 0) bits |= 1u << shortlist.planned(i).place;
  }
  return bits;
}

// Hashes for the tables whose rules may have the packet's key, and asks for their buckets.
__attribute__((noinline)) void prepare_several(Lookup* lookup, Shortlist* shortlist, uint32_t possible) {
  if ((possible & (possible - 1)) != 0) possible = narrow(shortlist, lookup, possible);
  bool is_whole = shortlist->is_whole();
  uint32_t prepared = 0, hash = 0, key_before = UINT32_MAX;
  for (uint32_t left = possible; left != 0; left &= left - 1) {
    const Shortlist::Planned& planned = shortlist->planned(static_cast<size_t>(__builtin_ctz(left)));
    if (prepared == kPrepared) {
      is_whole = false;
      break;
    }
    const Shortlist::Key& key = shortlist->key(planned.key);
    if (planned.key != key_before) hash = planned.table->hash_key(gather(*shortlist, key, lookup));
    key_before = planned.key;
    planned.table->index.prefetch(hash);
    lookup->table[prepared++] = {planned.table, nullptr, hash, planned.priority, key.at};
  }
  lookup->prepared = static_cast<uint8_t>(prepared);
  lookup->is_whole = is_whole;
  if (!is_whole) lookup->excluded = excluded(*shortlist, possible);
}

// Mostly one table is left, and is all there is to look up.
inline void prepare(Lookup* lookup, Shortlist* shortlist) {
  const uint32_t possible = shortlist->possible(frame_of(*lookup->context), lookup->context->headers);
  if (possible == 0 || (possible & (possible - 1)) != 0 || !shortlist->is_whole())
    return prepare_several(lookup, shortlist, possible);
  const Shortlist::Planned& planned = shortlist->planned(static_cast<size_t>(__builtin_ctz(possible)));
  const Shortlist::Key& key = shortlist->key(planned.key);
  const RuleTable* table = planned.table;
  const uint32_t hash = table->hash_key(gather(*shortlist, key, lookup), key.words);
  table->index.prefetch(hash);
  lookup->prepared = 1;
  lookup->is_whole = true;
  lookup->table[0] = {table, nullptr, hash, planned.priority, key.at};
}

// The buckets have come: asks for the rules that they name. The last of them, or null when there is none.
FlowRule* fetch_rules(Lookup* lookup) {
  FlowRule* likely = nullptr;
  for (uint8_t i = 0; i < lookup->prepared; ++i) {
    Lookup::Prepared& prepared = lookup->table[i];
    const RuleTable* table = prepared.table;
    const uint32_t row = table->index.candidate(prepared.hash);
    if (row == 0) continue;
    likely = prepared.likely = table->rule(row);
    const auto* begin = reinterpret_cast<const uint8_t*>(likely) - table->rule_at;
    // Rows are eight-byte aligned and up to some hundred bytes long: two or three lines.
    rte_prefetch0(begin);
    rte_prefetch0(begin + table->row_bytes - 1);
    if (table->row_bytes > 72) rte_prefetch0(begin + 64);
  }
  return likely;
}

FlowRule* look_up(const Lookup::Prepared& prepared, const Lookup& lookup) {
  if (prepared.likely == nullptr) return nullptr;
  const RuleTable& table = *prepared.table;
  const uint64_t* key = &lookup.word[prepared.key];
  const bool has_key = table.same_key(prepared.likely->key(), key);
  return has_key ? prepared.likely : table.find(key, prepared.hash);  // two rules with one tag
}

// The rule that a packet hits: of the highest priority, then the oldest.
struct Best {
  explicit Best(const Group* searched) : group(searched) {}

  const Group* group;
  FlowRule* rule = nullptr;
  uint32_t priority = UINT32_MAX;

  // Tables come by priority: from one that comes behind on, none has a better rule.
  bool comes_before(uint32_t other_priority) const { return rule != nullptr && other_priority > priority; }
  // `other` may be null.
  void offer(FlowRule* other, uint32_t other_priority) {
    if (other == nullptr) return;
    if (rule != nullptr && other_priority == priority && group->comes_first(rule, other)) return;
    rule = other;
    priority = other_priority;
  }
};

// `prepared` may be null.
FlowRule* best_of(const Shortlist& shortlist, const PacketView& view, const Lookup* prepared) {
  Best best(shortlist.group());
  if (const Group::Constant* constant = shortlist.find_constant(view))
    best.offer(constant->rule, constant->priority);
  uint8_t next = 0;
  uint32_t excluded = prepared == nullptr ? 0 : prepared->excluded;
  shortlist.for_each_table(view, [&](const Group::Candidate& candidate) {
    if (best.comes_before(candidate.priority)) return false;
    const bool is_excluded = (excluded & 1) != 0;
    excluded >>= 1;
    if (is_excluded) return true;
    const bool is_prepared =
        prepared != nullptr && next < prepared->prepared && prepared->table[next].table == candidate.table;
    best.offer(is_prepared ? look_up(prepared->table[next++], *prepared) : candidate.table->lookup(view),
               candidate.priority);
    return true;
  });
  return best.rule;
}

FlowRule* best_prepared(const Lookup& lookup) {
  if (lookup.prepared == 1) return look_up(lookup.table[0], lookup);
  Best best(lookup.group);
  for (uint8_t i = 0; i < lookup.prepared; ++i) {
    const Lookup::Prepared& prepared = lookup.table[i];
    if (best.comes_before(prepared.priority)) break;
    best.offer(look_up(prepared, lookup), prepared.priority);
  }
  return best.rule;
}

FlowRule* best_of(Lookup* lookup, Shortlists* shortlists) {
  if (lookup->is_whole) return best_prepared(*lookup);
  const PacketView& view = placed(lookup);
  return best_of(shortlists->of(lookup->group, view), view, lookup);
}

}  // namespace

// A packet comes into a group and goes on, through groups whose rules are all copied, to the first whose
// rules are in memory that has to come: that look-up is prepared. False: it ended on the way, with `verdict`.
bool FlowEngine::Implementation::enter(Lookup* lookup, Shortlists* shortlists, PacketContext& packet,
                                       uint32_t* group_number, Verdict* verdict,
                                       GroupCounters* counters) const {
  lookup->context = &packet;
  lookup->is_placed = false;
  bool is_seen = false, has_integrity = false;  // what lookup->view shows
  Shortlist* before = nullptr;  // of the group that the packet jumped from, where nothing held it
  Shortlist* shortlist = nullptr;
  for (;;) {
    if (shortlist == nullptr) {
      const Group* searched = group(*group_number);
      if (searched == nullptr || searched->tables.empty()) break;
      if (!is_seen || (searched->matches_integrity && !has_integrity)) {
        describe(packet, *searched, &lookup->view);
        is_seen = true;
        has_integrity = searched->matches_integrity;
        before = nullptr;
      }
      shortlist = before == nullptr ? &shortlists->of(searched, lookup->view)
                                    : &shortlists->behind(before, searched, lookup->view);
    }
    if (!shortlist->is_all_constant()) {
      lookup->group = shortlist->group();
      prepare(lookup, shortlist);
      return true;
    }
    const Group::Constant* constant = shortlist->otherwise();
    const bool is_held = shortlist->may_hold(frame_of(packet), packet.headers);
    if (is_held) constant = shortlist->find_constant(placed(lookup));
    if (constant == nullptr) break;
    ++counters->hits[GroupCounters::index(*group_number)];
    if (constant->jump != 0) {
      *group_number = constant->jump;
      before = is_held ? nullptr : shortlist;
      shortlist = is_held ? nullptr : shortlist->next();
      continue;
    }
    FlowRule* rule = constant->rule;
    *group_number = run(rule, packet, ApplyScope::kAll, verdict);
    if (*group_number == 0) return false;
    before = shortlist = nullptr;
    is_seen = !table_of(rule)->program.rewrites;
    lookup->is_placed = lookup->is_placed && is_seen;
  }
  ++counters->misses[GroupCounters::index(*group_number)];
  *verdict = Verdict{};
  return false;
}

// Round by round: a jump out of a group that had to be waited for takes a packet into the next round.
void FlowEngine::Implementation::process_burst(PacketContext* const* packets, size_t count, Verdict* verdicts,
                                               GroupCounters* counters, Shortlists* shortlists) const {
  Lookup lookups[kMaxBurst];
  uint16_t waiting[kMaxBurst];
  uint32_t group_of[kMaxBurst];
  size_t left = count;
  for (size_t i = 0; i < count; ++i) {
    waiting[i] = static_cast<uint16_t>(i);
    group_of[i] = 0;
  }
  while (left != 0) {  // ends: every jump is to a higher group
    size_t found = 0;
    for (size_t i = 0; i < left; ++i) {
      const uint16_t packet = waiting[i];
      lookups[found].packet = packet;
      if (enter(&lookups[found], shortlists, *packets[packet], &group_of[packet], &verdicts[packet],
                counters))
        ++found;
    }
    for (size_t i = 0; i < found; ++i) fetch_rules(&lookups[i]);
    left = 0;
    for (size_t i = 0; i < found; ++i) {
      const uint16_t packet = lookups[i].packet;
      FlowRule* rule = best_of(&lookups[i], shortlists);
      const size_t counted = GroupCounters::index(group_of[packet]);
      if (rule == nullptr) {
        ++counters->misses[counted];
        verdicts[packet] = Verdict{};
        continue;
      }
      ++counters->hits[counted];
      group_of[packet] = run(rule, *packets[packet], ApplyScope::kAll, &verdicts[packet]);
      if (group_of[packet] != 0) waiting[left++] = packet;
    }
  }
}

FlowRule* FlowEngine::Implementation::match(const PacketContext& packet, uint32_t group_number) const {
  const Group* searched = group(group_number);
  if (searched == nullptr || searched->tables.empty()) return nullptr;
  PacketView view;
  view_of(packet, *searched, &view);
  Shortlist shortlist;
  shortlist.make(searched, view);
  return best_of(shortlist, view, nullptr);
}

// A rule's actions, then those of the rules that it leads to.
Verdict FlowEngine::Implementation::follow(const RuleTable* table, FlowRule* rule, PacketContext& packet,
                                           ApplyScope scope) const {
  Verdict verdict;
  // Ends: every jump is to a higher group.
  while (const uint32_t next = run(table, rule, packet, scope, &verdict)) {
    rule = match(packet, next);
    if (rule == nullptr) return Verdict{};
    table = table_of(rule);
  }
  return verdict;
}

Verdict FlowEngine::process(PacketContext& packet, GroupCounters* counters) {
  self_->link();
  GroupCounters unwanted;
  if (counters == nullptr) counters = &unwanted;
  Verdict verdict;
  uint32_t next = 0;
  do {
    FlowRule* rule = self_->match(packet, next);
    ++(rule == nullptr ? counters->misses : counters->hits)[GroupCounters::index(next)];
    if (rule == nullptr) return Verdict{};
    next = self_->run(rule, packet, ApplyScope::kAll, &verdict);
  } while (next != 0);
  return verdict;
}

bool FlowEngine::hits(const FlowRule* rule, const PacketContext& packet) const {
  const RuleTable* table = self_->table_of(rule);
  const Group* searched = self_->group(table->attr.group);
  PacketView view;
  view_of(packet, *searched, &view);
  for (const Group::Candidate& candidate : searched->tables) {
    if (candidate.table == table) return candidate.fits(view) && table->hits(rule, view);
  }
  return false;
}

FlowRule* FlowEngine::match(const PacketContext& packet, uint32_t group) {
  self_->link();
  return self_->match(packet, group);
}

void FlowEngine::look_ahead(PacketContext* const* packets, size_t count, const FlowRule** likely) {
  self_->link();
  const Group* searched = self_->group(0);
  if (searched == nullptr || searched->tables.empty()) {
    std::fill_n(likely, count, nullptr);
    for (size_t i = 0; i < count; ++i) self_->ahead[i].group = searched;
    return;
  }
  Lookup* lookups = self_->ahead;
  self_->ahead_shortlists.keep_up_with(self_->version);
  for (size_t i = 0; i < count; ++i) {
    lookups[i].group = searched;
    lookups[i].context = packets[i];
    lookups[i].is_placed = false;
    describe(*packets[i], *searched, &lookups[i].view);
    prepare(&lookups[i], &self_->ahead_shortlists.of(searched, lookups[i].view));
  }
  for (size_t i = 0; i < count; ++i) likely[i] = fetch_rules(&lookups[i]);
}

FlowRule* FlowEngine::match_ahead(size_t index) {
  Lookup& lookup = self_->ahead[index];
  if (lookup.group->tables.empty()) return nullptr;
  return best_of(&lookup, &self_->ahead_shortlists);
}

Verdict FlowEngine::apply(FlowRule* rule, PacketContext& packet, ApplyScope scope) {
  self_->link();
  return self_->follow(self_->table_of(rule), rule, packet, scope);
}

Verdict FlowEngine::apply(const RuleTable* table, FlowRule* rule, PacketContext& packet, ApplyScope scope) {
  self_->link();
  return self_->follow(table, rule, packet, scope);
}

BurstMemory::BurstMemory() = default;
BurstMemory::~BurstMemory() = default;

void FlowEngine::process_burst(PacketContext* const* packets, size_t count, Verdict* verdicts,
                               GroupCounters* counters, BurstMemory* memory) {
  self_->link();
  GroupCounters unwanted;
  if (counters == nullptr) counters = &unwanted;
  if (memory == nullptr) {
    Shortlists shortlists;
    self_->process_burst(packets, count, verdicts, counters, &shortlists);
    return;
  }
  if (memory->shortlists_ == nullptr) memory->shortlists_ = std::make_unique<Shortlists>();
  memory->shortlists_->keep_up_with(self_->version);
  self_->process_burst(packets, count, verdicts, counters, memory->shortlists_.get());
}

}  // namespace sluice
