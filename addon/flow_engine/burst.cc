// A packet's way through the groups: one at a time, or a burst side by side.
#include <rte_mbuf.h>
#include <rte_prefetch.h>

#include <algorithm>

#include "flow_engine/engine_state.h"

namespace sluice {
namespace {

// Hashes for the tables with an index that the packet fits and whose rules may have its key, and asks for
// their buckets.
void prepare(Lookup* lookup, const Shortlist& shortlist) {
  const PacketView& view = lookup->view;
  uint32_t prepared = 0, used = 0, key = 0, hash = 0, excluded = 0, place = 0;
  bool is_gathered = false, is_hashed = false;  // key and hash are those of the table before
  bool is_whole = !shortlist.has_constants();
  // Inlined, or each of these variables would be written to memory and read again.
  const auto add = [&](const Group::Candidate& candidate, bool is_like_before)
      __attribute__((always_inline)) {
    const RuleTable* table = candidate.table;
    const uint32_t bit = 1u << (place++ & 31);
    if (table->is_listed()) {
      is_whole = is_gathered = false;
      return true;
    }
    if (prepared == kPrepared) {
      is_whole = false;
      return false;
    }
    if (!is_like_before || !is_gathered) {
      const PatternShape& shape = table->pattern.shape;
      const uint32_t words = shape.words;
      if (used + words <= Lookup::kKeyWords) {
        key = used;
        uint64_t* word = lookup->word + used;
        for (uint32_t i = 0; i < words; ++i) word[i] = shape.word[i].value_in(view);
        is_hashed = false;
      } else {
        key = Lookup::kNoKey;
        hash = table->hash_of(view);
        is_hashed = true;
      }
      is_gathered = true;
    }
    if (key != Lookup::kNoKey && !table->may_have(lookup->word + key)) {
      excluded |= bit;
      return true;
    }
    if (!is_hashed) hash = table->hash_key(lookup->word + key);
    is_hashed = true;
    table->index.prefetch(hash);
    lookup->table[prepared++] = {table, nullptr, hash, candidate.priority, key};
    if (key == used) used += table->pattern.shape.words;  // kept for the comparison
    return true;
  };
  shortlist.for_each_table(view, add);
  lookup->prepared = static_cast<uint8_t>(prepared);
  lookup->is_whole = is_whole;
  lookup->excluded = place <= 32 ? excluded : 0;
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
    const auto* rule = reinterpret_cast<const uint8_t*>(likely);
    // Rows are eight-byte aligned and up to some hundred bytes long: two or three lines.
    rte_prefetch0(rule);
    rte_prefetch0(rule + 64);
    if (table->row_bytes > 72) rte_prefetch0(rule + table->row_bytes - 1);
  }
  return likely;
}

FlowRule* look_up(const Lookup::Prepared& prepared, const Lookup& lookup) {
  if (prepared.likely == nullptr) return nullptr;
  const RuleTable& table = *prepared.table;
  const bool has_key = prepared.key == Lookup::kNoKey
                           ? table.has_key_of(prepared.likely, lookup.view)
                           : table.same_key(prepared.likely->key(), &lookup.word[prepared.key]);
  return has_key ? prepared.likely : table.lookup(lookup.view, prepared.hash);  // two rules with one tag
}

// The rule that a packet hits: of the highest priority, then the oldest.
struct Best {
  FlowRule* rule = nullptr;
  uint32_t priority = UINT32_MAX;

  // Tables come by priority: from one that comes behind on, none has a better rule.
  bool comes_before(uint32_t other_priority) const { return rule != nullptr && other_priority > priority; }
  // `other` may be null.
  void offer(FlowRule* other, uint32_t other_priority) {
    if (other == nullptr) return;
    if (rule != nullptr && other_priority == priority && rule->sequence() < other->sequence()) return;
    rule = other;
    priority = other_priority;
  }
};

// `prepared` may be null.
FlowRule* best_of(const Shortlist& shortlist, const PacketView& view, const Lookup* prepared) {
  Best best;
  if (const Group::Constant* constant = shortlist.find_constant(view))
    best.offer(constant->rule, constant->priority);
  uint8_t next = 0;
  uint32_t excluded = prepared == nullptr ? 0 : prepared->excluded;
  shortlist.for_each_table(view, [&](const Group::Candidate& candidate, bool) {
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
  Best best;
  for (uint8_t i = 0; i < lookup.prepared; ++i) {
    const Lookup::Prepared& prepared = lookup.table[i];
    if (best.comes_before(prepared.priority)) break;
    best.offer(look_up(prepared, lookup), prepared.priority);
  }
  return best.rule;
}

void view_of(const PacketContext& packet, const Group& group, PacketView* out) {
  view_packet(rte_pktmbuf_mtod(packet.mbuf, const uint8_t*), packet.headers, packet.ingress_port_id,
              group.matches_integrity, out);
  static_assert(offsetof(PacketContext, mark) == offsetof(PacketContext, meta) + registers::kMark);
  static_assert(offsetof(PacketContext, tag) == offsetof(PacketContext, meta) + registers::kTags);
  out->base[static_cast<size_t>(Slot::kRegisters)] = reinterpret_cast<const uint8_t*>(&packet.meta);
}

}  // namespace

// A packet comes into a group and goes on, through groups whose rules are all copied, to the first whose
// rules are in memory that has to come: that look-up is prepared. False: it ended on the way, with `verdict`.
bool FlowEngine::Implementation::enter(Lookup* lookup, Shortlists* shortlists, PacketContext& packet,
                                       uint32_t* group_number, Verdict* verdict,
                                       GroupCounters* counters) const {
  bool is_seen = false, has_integrity = false;  // what lookup->view shows
  for (;;) {
    const Group* searched = group(*group_number);
    if (searched == nullptr || searched->tables.empty()) {
      ++counters->misses[GroupCounters::index(*group_number)];
      *verdict = Verdict{};
      return false;
    }
    if (!is_seen || (searched->matches_integrity && !has_integrity)) {
      view_of(packet, *searched, &lookup->view);
      is_seen = true;
      has_integrity = searched->matches_integrity;
    }
    const Shortlist& shortlist = shortlists->of(searched, lookup->view);
    if (!searched->all_constant) {
      lookup->group = searched;
      prepare(lookup, shortlist);
      return true;
    }
    const Group::Constant* constant = shortlist.find_constant(lookup->view);
    if (constant == nullptr) {
      ++counters->misses[GroupCounters::index(*group_number)];
      *verdict = Verdict{};
      return false;
    }
    ++counters->hits[GroupCounters::index(*group_number)];
    if (constant->jump != 0) {
      *group_number = constant->jump;
      continue;
    }
    FlowRule* rule = constant->rule;
    *group_number = run(rule, packet, ApplyScope::kAll, verdict);
    if (*group_number == 0) return false;
    is_seen = !tables[rule->table()]->program.rewrites;
  }
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
      const PacketView& view = lookups[i].view;
      FlowRule* rule = lookups[i].is_whole
                           ? best_prepared(lookups[i])
                           : best_of(shortlists->of(lookups[i].group, view), view, &lookups[i]);
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
Verdict FlowEngine::Implementation::follow(FlowRule* rule, PacketContext& packet, ApplyScope scope) const {
  Verdict verdict;
  while (const uint32_t next = run(rule, packet, scope, &verdict)) {  // ends: every jump is to a higher group
    rule = match(packet, next);
    if (rule == nullptr) return Verdict{};
  }
  return verdict;
}

Verdict FlowEngine::process(PacketContext& packet, GroupCounters* counters) {
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
  const RuleTable* table = self_->tables[rule->table()];
  const Group* searched = self_->group(table->attr.group);
  PacketView view;
  view_of(packet, *searched, &view);
  for (const Group::Candidate& candidate : searched->tables) {
    if (candidate.table == table) return candidate.fits(view) && table->hits(rule, view);
  }
  return false;
}

FlowRule* FlowEngine::match(const PacketContext& packet, uint32_t group) {
  return self_->match(packet, group);
}

void FlowEngine::look_ahead(PacketContext* const* packets, size_t count, const FlowRule** likely) {
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
    view_of(*packets[i], *searched, &lookups[i].view);
    prepare(&lookups[i], self_->ahead_shortlists.of(searched, lookups[i].view));
  }
  for (size_t i = 0; i < count; ++i) likely[i] = fetch_rules(&lookups[i]);
}

FlowRule* FlowEngine::match_ahead(size_t index) {
  const Lookup& lookup = self_->ahead[index];
  if (lookup.group->tables.empty()) return nullptr;
  if (lookup.is_whole) return best_prepared(lookup);
  return best_of(self_->ahead_shortlists.of(lookup.group, lookup.view), lookup.view, &lookup);
}

Verdict FlowEngine::apply(FlowRule* rule, PacketContext& packet, ApplyScope scope) {
  return self_->follow(rule, packet, scope);
}

BurstMemory::BurstMemory() = default;
BurstMemory::~BurstMemory() = default;

void FlowEngine::process_burst(PacketContext* const* packets, size_t count, Verdict* verdicts,
                               GroupCounters* counters, BurstMemory* memory) {
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
