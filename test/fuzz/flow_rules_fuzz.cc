// Any rule arrays, by rte_flow_create's way and by templates, and any packets through them. What validate
// takes, create takes; a burst does what packets one by one do; nothing is left when all is destroyed.
#include <rte_errno.h>
#include <sys/random.h>

#include <cerrno>

#include "any_frame.h"
#include "any_rule.h"
#include "flow_engine/items.h"

namespace {

using namespace sluice;
using namespace sluice::test;
using fuzz::demand;
using fuzz::Input;

constexpr uint32_t kMaxOperations = 48;
constexpr uint32_t kMaxRules = 160;  // an index grows at 32 and at 64
constexpr size_t kMaxFrames = 4;

// What an engine takes for its secret: of the input, so that an input always does the same.
uint8_t secret_byte = 0;

struct World {
  explicit World(const EngineOptions& options) : engine(options) {}

  FlowEngine engine;
  fuzz::Shared shared;
  BurstMemory memory;
  uint32_t now_seconds = 2;
  std::vector<Bytes> frames;  // that rules have been made for
  std::vector<FlowRule*> rules;
  struct Table {
    std::unique_ptr<Rule> rule;
    RuleTable* table;
  };
  std::vector<Table> tables;
};

void check_error(int code, const rte_flow_error& error) {
  demand(code < 0, "a refusal has a negative code");
  demand(error.type != RTE_FLOW_ERROR_TYPE_NONE, "a refusal names what is wrong");
  demand(error.message != nullptr && *error.message != 0, "a refusal says what is wrong");
}

FlowRule* create(World& world, const Rule& rule) {
  rte_flow_error error = {};
  const int code = world.engine.validate(rule.attr, rule.items(), rule.actions(), &error);
  if (code != 0) check_error(code, error);
  rte_flow_error created = {};
  rte_errno = 0;
  FlowRule* made = world.engine.create(rule.attr, rule.items(), rule.actions(), world.now_seconds, &created);
  if (made != nullptr) {
    demand(code == 0, "create takes only what validate takes");
    world.rules.push_back(made);
  } else {
    check_error(-rte_errno, created);
    demand(code != 0 || rte_errno == EEXIST || rte_errno == ENOSPC, "what validate takes, create takes");
  }
  return made;
}

void create_any(Input& in, World& world) {
  Rule rule;
  any_attributes(in, rule);
  any_items(in, rule, 8);
  any_actions(in, rule, world.shared);
  create(world, rule);
}

// A rule that packets hit: of a new frame's headers, or of a frame that has rules already.
void create_for_frame(Input& in, World& world) {
  const uint8_t which = in.byte();
  if (world.frames.empty() || ((which & 3) == 0 && world.frames.size() < kMaxFrames))
    world.frames.push_back(fuzz::any_frame(in));
  Rule rule;
  fuzz::items_of(in, rule, world.frames[which / 4 % world.frames.size()]);
  any_actions(in, rule, world.shared);
  create(world, rule);
}

// Many rules that differ in one byte of one item, or in their priority: an index that grows, rows in bursts,
// groups of many tables.
void create_many(Input& in, World& world) {
  Rule rule;
  const uint8_t way = in.byte(), first = in.byte(), count = in.byte();
  size_t varied = 1, at = 15;
  if ((way & 8) != 0 && !world.frames.empty()) {
    fuzz::items_of(in, rule, world.frames[in.byte() % world.frames.size()]);
    if (rule.item_count() == 0) return;
    varied = in.byte() % rule.item_count();
    at = in.byte() % 24;
  } else {
    rte_flow_item_ipv4 mask = {};
    mask.hdr.src_addr = 0xffffffff;
    rule.item(RTE_FLOW_ITEM_TYPE_ETH).item(RTE_FLOW_ITEM_TYPE_IPV4, ipv4_spec(0x0a000000, 0), &mask);
  }
  any_actions(in, rule, world.shared);
  uint8_t spec[fuzz::kRoom] = {};
  if (rule.item_at(varied).spec != nullptr) {
    std::memcpy(spec, rule.item_at(varied).spec, fuzz::size_of(type_of(rule.item_at(varied))));
    rule.item_at(varied).spec = spec;
  }
  const bool by_priority = (way & 4) != 0;
  rte_flow_error error = {};
  RuleTable* table = nullptr;
  if ((way & 1) != 0 && !by_priority) {
    auto owned = std::make_unique<Rule>(rule);
    if (owned->item_at(varied).spec != nullptr) owned->item_at(varied).spec = owned->keep(spec, sizeof spec);
    table = world.engine.create_table(owned->attr, owned->items(), owned->actions(), nullptr, &error);
    if (table == nullptr) return;
    if ((way & 2) != 0) demand(world.engine.reserve(table, count), "there is memory for a few rows");
    world.tables.push_back({std::move(owned), table});
  }
  std::vector<FlowRule*> staged;
  for (uint32_t i = 0; i < count; ++i) {
    if (by_priority) {
      rule.attr.priority = (way & 0xf0u) * 16 + first + i;
    } else {
      spec[at] = static_cast<uint8_t>(first + i);
    }
    if (table == nullptr) {
      if (create(world, rule) == nullptr) break;
    } else {
      FlowRule* row = world.engine.stage_row(table, rule.items(), rule.actions(), &error);
      if (row == nullptr) break;
      staged.push_back(row);
    }
  }
  std::vector<int> codes(staged.size());
  world.engine.commit_rows(staged.data(), staged.size(), world.now_seconds, codes.data());
  world.rules.insert(world.rules.end(), staged.begin(), staged.end());
}

void create_table(Input& in, World& world) {
  auto rule = std::make_unique<Rule>();
  if ((in.byte() & 1) != 0 && !world.frames.empty()) {
    fuzz::items_of(in, *rule, world.frames[in.byte() % world.frames.size()]);
  } else {
    any_attributes(in, *rule);
    any_items(in, *rule, 8);
  }
  any_actions(in, *rule, world.shared);
  // Masks of the same types, or one that is not; constant where the input says so, by bytes of ones.
  std::vector<rte_flow_action> masks(rule->actions(), rule->actions() + rule->action_count() + 1);
  static const Bytes kOnes(fuzz::kRoom, 0xff);
  for (rte_flow_action& mask : masks) {
    if (type_of(mask) == RTE_FLOW_ACTION_TYPE_END) break;
    const uint8_t way = in.byte();
    const bool plain = type_of(mask) != RTE_FLOW_ACTION_TYPE_INDIRECT;
    if (plain && (way & 3) != 0) mask.conf = (way & 3) == 1 ? nullptr : kOnes.data();
    if (!plain) {
      mask.conf = (way & 2) != 0 ? kOnes.data() : nullptr;
      if ((way & 4) == 0) mask.type = (way & 1) != 0 ? RTE_FLOW_ACTION_TYPE_COUNT : RTE_FLOW_ACTION_TYPE_AGE;
    } else if (way == 0xff) {
      mask.type = RTE_FLOW_ACTION_TYPE_QUEUE;
    }
    // Where the value is the row's, the template may have none.
    if ((way & 0xf8) == 0xf8)
      const_cast<rte_flow_action*>(rule->actions())[&mask - masks.data()].conf = nullptr;
  }
  const bool masked = (in.byte() & 1) != 0;
  rte_flow_error error = {};
  rte_errno = 0;
  // Either half alone, as rte_flow_pattern_template_create and rte_flow_actions_template_create look at it.
  for (const bool pattern : {true, false}) {
    rte_flow_error half = {};
    const int code = world.engine.validate_template(rule->attr, pattern ? rule->items() : nullptr,
                                                    rule->actions(), masked ? masks.data() : nullptr, &half);
    if (code != 0) check_error(code, half);
  }
  RuleTable* table = world.engine.create_table(rule->attr, rule->items(), rule->actions(),
                                               masked ? masks.data() : nullptr, &error);
  if (table == nullptr) {
    check_error(-rte_errno, error);
  } else {
    world.tables.push_back({std::move(rule), table});
  }
}

// The template's own items and actions as a row, some spec or conf of them another.
void create_row(Input& in, World& world) {
  if (world.tables.empty()) return;
  World::Table& table = world.tables[in.byte() % world.tables.size()];
  std::vector<rte_flow_item> pattern(table.rule->items(), table.rule->items() + table.rule->item_count() + 1);
  std::vector<rte_flow_action> list(table.rule->actions(),
                                    table.rule->actions() + table.rule->action_count() + 1);
  uint8_t spec[fuzz::kRoom] = {};
  in.fill(spec, 24);
  const uint8_t way = in.byte();
  if (!pattern.empty() && (way & 1) != 0)
    pattern[way / 4 % pattern.size()].spec = (way & 2) != 0 ? spec : nullptr;
  // Last of all, a list that is another than the template's.
  if (way == 0xff && !list.empty()) list[0].type = RTE_FLOW_ACTION_TYPE_DROP;
  rte_flow_error error = {};
  rte_errno = 0;
  FlowRule* row = world.engine.create_row(table.table, pattern.data(), list.data(), 1, &error);
  if (row == nullptr) {
    check_error(-rte_errno, error);
  } else {
    world.rules.push_back(row);
  }
}

Bytes frame_of(Input& in, World& world) {
  const uint8_t which = in.byte();
  if (world.frames.empty() || (which & 3) == 0) return fuzz::any_frame(in);
  Bytes frame = world.frames[which / 4 % world.frames.size()];
  fuzz::change_bytes(in, &frame);
  return frame;
}

struct Packet {
  Packet(const Bytes& bytes, uint16_t headroom, uint16_t port, uint32_t now_seconds)
      : mbuf(bytes, headroom), context(context_of(mbuf, port, now_seconds)) {}
  Mbuf mbuf;
  PacketContext context;
};

void check_alike(Packet& one, const Verdict& its, Packet& other, const Verdict& others) {
  demand(one.mbuf.frame() == other.mbuf.frame(), "a burst changes a packet as it would be alone");
  demand(its.fate == others.fate && its.port_id == others.port_id && its.queue == others.queue &&
             its.cause == others.cause,
         "a burst decides as for a packet alone");
  if (its.fate == Fate::kDrop) return;
  ParsedPacket again;
  const Bytes left = other.mbuf.frame();
  parse(left.data(), static_cast<uint32_t>(left.size()), ParseOptions{}, &again);
  demand(again.outer.l3 == other.context.headers.outer.l3, "what is known of a packet is what a parse finds");
}

void send(Input& in, World& world) {
  const uint8_t way = in.byte();
  const size_t count = 1 + (way & 7);
  std::vector<std::unique_ptr<Packet>> alone, together, ahead;
  for (size_t i = 0; i < count; ++i) {
    const Bytes bytes = frame_of(in, world);
    const uint16_t port = in.byte() & 1;
    const uint16_t headroom = (way & 0x38) == 0 || bytes.size() > 65'400 ? 20 : 128;
    for (auto* set : {&alone, &together, &ahead})
      set->push_back(std::make_unique<Packet>(bytes, headroom, port, world.now_seconds));
  }
  std::vector<PacketContext*> bursting, looking;
  for (size_t i = 0; i < count; ++i) {
    bursting.push_back(&together[i]->context);
    looking.push_back(&ahead[i]->context);
  }
  world.engine.set_shared((way & 0x80) != 0);
  std::vector<Verdict> verdicts(count);
  GroupCounters counters;
  world.engine.process_burst(bursting.data(), count, verdicts.data(), &counters,
                             (way & 0x40) != 0 ? &world.memory : nullptr);
  // As the slow path does it: looked up first, executed later.
  std::vector<const FlowRule*> probable(count);
  world.engine.look_ahead(looking.data(), count, probable.data());
  std::vector<FlowRule*> hit(count);
  for (size_t i = 0; i < count; ++i) hit[i] = world.engine.match_ahead(i);
  for (size_t i = 0; i < count; ++i) {
    const Verdict expected = world.engine.process(alone[i]->context, &counters);
    check_alike(*alone[i], expected, *together[i], verdicts[i]);
    demand(hit[i] == world.engine.match(ahead[i]->context, 0), "what is looked up ahead is what is hit");
    if (hit[i] == nullptr) {
      demand(expected.fate == Fate::kMiss, "a packet that no rule fits is missed");
      continue;
    }
    demand(world.engine.hits(hit[i], ahead[i]->context), "the rule that is hit fits");
    const bool all = (way & 0x20) != 0;
    const Verdict applied =
        world.engine.apply(hit[i], ahead[i]->context, all ? ApplyScope::kAll : ApplyScope::kNoTranslation);
    if (all) check_alike(*alone[i], expected, *ahead[i], applied);
  }
}

void destroy_some(Input& in, World& world) {
  if (world.rules.empty()) return;
  const size_t from = in.byte() % world.rules.size();
  const size_t count = std::min<size_t>(in.byte() + size_t{1}, world.rules.size() - from);
  const auto begin = world.rules.begin() + static_cast<long>(from), end = begin + static_cast<long>(count);
  if (count == 1) {
    FlowEngine::retire(*begin);
    world.engine.destroy(*begin);
  } else {
    world.engine.destroy(&*begin, count);
  }
  world.rules.erase(begin, end);
}

void ask(Input& in, World& world) {
  static FILE* nowhere = std::fopen("/dev/null", "w");
  world.now_seconds += in.byte();
  const bool reports = (world.now_seconds & 1) != 0;
  world.engine.collect_aged(world.now_seconds, [reports](FlowRule*) { return reports; });
  FlowEngine::AgeCursor cursor;
  while (!world.engine.visit(&cursor, 7, [&](FlowRule* rule) {
    demand(FlowEngine::is_live(rule) && world.engine.rules() != 0, "only live rules are visited");
  })) {
  }
  for (FlowRule* rule : world.rules) {
    world.engine.dump(rule, nowhere);
    world.engine.take_counters(rule);
    demand(world.engine.age_context(rule) != nullptr || !world.engine.ages(rule), "an age has a context");
  }
  demand(world.engine.memory_bytes() >= world.rules.size(), "rules take memory");
}

}  // namespace

// In place of the C library's: the engine's only source of chance.
extern "C" ssize_t getrandom(void* out, size_t bytes, unsigned) {
  std::memset(out, secret_byte, bytes);
  return static_cast<ssize_t>(bytes);
}

// libFuzzer changes what is there; now and then the end is made anew, of bytes that mean something more often
// than any byte does: other operations in the state that the beginning leads to.
extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t most);
extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t most, unsigned seed) {
  std::minstd_rand random(seed);
  if (random() % 4 != 0) return LLVMFuzzerMutate(data, size, most);
  const size_t kept = random() % (size + 1);
  const size_t wanted = std::min<size_t>(most, kept + 8 + random() % 150);
  for (size_t i = kept; i < wanted; ++i) {
    const uint32_t kind = random() % 8;
    data[i] = static_cast<uint8_t>(kind < 3    ? random() % 16
                                   : kind == 3 ? 0
                                   : kind == 4 ? 255 - random() % 8
                                               : random());
  }
  return wanted;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input in{data, size};
  EngineOptions options;
  const uint8_t kind = in.byte();
  options.private_actions = (kind & 1) != 0;
  options.max_rules = kMaxRules;
  secret_byte = kind >> 1;
  World world(options);
  for (uint32_t operations = 0; in.left != 0 && operations < kMaxOperations; ++operations) {
    switch (in.byte() & 15) {
      case 0: create_any(in, world); break;
      case 1:
      case 2:
      case 3: create_for_frame(in, world); break;
      case 4: create_table(in, world); break;
      case 5:
      case 6: create_row(in, world); break;
      case 7: create_many(in, world); break;
      case 8: destroy_some(in, world); break;
      case 9: ask(in, world); break;
      case 10:
        if ((in.byte() & 7) != 0) break;
        world.engine.flush();
        world.rules.clear();
        break;
      default: send(in, world); break;
    }
    demand(world.engine.rules() == world.rules.size(), "the engine counts its rules");
  }
  world.engine.destroy(world.rules.data(), world.rules.size());
  demand(world.engine.rules() == 0, "nothing is left");
  for (const World::Table& table : world.tables) world.engine.destroy_table(table.table);
  for (const IndirectAction& handle : world.shared.handles)
    demand(handle.references == 0, "no handle is in use any more");
  return 0;
}
