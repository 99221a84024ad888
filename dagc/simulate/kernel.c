// Requests on the queues, schedulers and caches of serving engines, from event to event.
//
// Times are picoseconds. A context is counted in units of 1 / `unit` token, because with drafts a step yields a
// fraction of a token on average. Between two events the sequences of a decode step stay the same and its time is
// affine in their contexts, so a run of such steps is one event, and its end the exact sum of its steps. Nothing is
// allocated; the caller lays out tables and state. `run` returns early where it needs a step time that is not in the
// tables yet, or room for rows; the caller mends that and calls again.

#include <stdint.h>

typedef int64_t I64;
typedef int32_t I32;

#define NONE (-1)
#define PRESENT (-2)  // computed: the whole prompt, by another service
#define SHIFT 16  // binary digits of a slope behind the point

enum { DONE, NEED_LINE, NEED_CELL, ROWS_FULL };
enum { GROW, WHOLE, ESTIMATE, LOOKAHEAD };     // what of the cache a request reserves
enum { LEAVES_AT_END, LATE_ROW, LATE_SLOT };   // sequences that have ended, in the step after their last
enum { ROUND_ROBIN, SHORTEST_QUEUE, BY_REPLICA, SHARED_QUEUE };  // routers
enum { STEP_ENDS, TRANSFER_ENDS, LEAVES, ISSUES, ENTERS };  // events, in their order at one time
enum { AFTER_PREFILL, AFTER_TRANSFER, AFTER_ADMISSION };    // when a client of separate services has its first token

// Times of steps. A line holds, for a number of decode sequences and a node of fullness, `pieces` of (context from
// which it holds, time there, slope). A cell's corner is what prompt tokens add to a step. Both are given as their
// complements, so that memory that was never written, which is 0, has NONE.
typedef struct {
  I64 most_line;       // lines are for 1 .. most_line sequences
  I64 pieces;
  I64 fullness_count;  // nodes of fullness: tokens of all ranks by those of the fullest one times ranks
  I64 prompt_count, context_count, sequence_count;
  const I64 *lines;    // [sequences][fullness][pieces][3], complements; time NONE where not filled
  const I64 *corners;  // [sequences][prompt][context][fullness], complements; NONE where not filled
  const double *fullness, *prompts, *contexts, *sequences;  // nodes, ascending
} Times;

typedef struct {
  I64 replicas, ranks, router;
  I64 mixes, chunks, budget, prompt_budget, threshold, most_running, reserve;
  I64 beside, block, blocks, late, ahead, poll, balance, yield, drafted, unit;
  I64 prefill_launch, graph_tokens, prefill_floor;
  I64 ratio_first, ratio_min, ratio_fall, clip;  // of ESTIMATE and LOOKAHEAD, in 2^-20
  I64 transfer_base, transfer_token;               // of what leaves for the next service
  I64 entered;                                     // requests that the router has placed
  Times times;
} Service;

typedef struct {
  I32 head, tail, waiting, running_count, prompt_count, chunked;
  I32 decodes;  // its sequences take part in the step
  I32 full;     // a prompt was refused, and none has left since
  I32 shared_head, shared_tail, shared_waiting, padding;  // of the first rank: the queue that all ranks share
  I64 free, ratio, seen;
  I64 sequences, context, prompt, pairs, step;  // of the step; `step` is what the context grows by
  I32 *running, *prompts;
  I64 since;                                     // until when the following are summed up
  double waiting_time, running_time, block_time;  // picoseconds times how many there were
} Rank;

typedef struct {
  I64 begin, end, steps, planned;  // of the run; begin NONE where the replica is free
  I64 base, slope, context, growth, extra;  // step i takes base + (slope * (context + i * growth) >> SHIFT) + extra
  I64 link;                        // time at which its link is free
  I64 polled;                      // steps since requests were last received
  I64 seen;                        // what entered until then has been received; INT64_MAX where the replica is idle
  I64 composed_at;                 // when the host composed the step
  I64 launched;                    // when it had launched it
  I64 waited;                      // steps in which prompts were held for those of other ranks
  I64 busy, sequence_time;         // picoseconds, and picoseconds times sequences over all ranks / 2^10
  I32 composed, dirty, has_prompts, output_count;
  I32 *outputs;  // requests whose tokens of the last step are not out yet; ~ of one whose prompt yielded it
  I32 holds;     // prompts wait for those of other ranks
  I32 may_hold, padding;  // a rank has a prompt that could wait
} Replica;

typedef struct { I64 time, key; } Event;

typedef struct { I64 left, occupied; } Ahead;  // tokens that a sequence has yet to generate, and that it has

typedef struct { I64 base, slope, context, growth, steps, sequences; } GapRow;
typedef struct { I64 begin, end, steps, replica, sequences, prompt, waiting, blocks; } RunRow;

typedef struct {
  I64 count, service_count, cap, entry, exit_delay, first_token;
  // Of requests.
  const I64 *arrival; const I32 *prompt, *output, *hit;
  I64 *issued, *entered, *admitted, *first, *last, *progress;
  I32 *next, *computed, *taken, *held, *left, *preempted, *place;
  Service *services;
  Rank *ranks;        // of service 0, replica by replica, then of service 1
  Replica *replicas;
  I32 *dirty;
  Event *heap;
  GapRow *gaps; RunRow *runs;
  Ahead *look;        // room for the sequences of one rank
  const int8_t *counted;  // whether gaps between the tokens of a request are kept
  I64 gap_room, run_room, has_runs, count_margin;  // margin: gap rows that one event takes at most
  // State.
  I64 now, issued_count, scheduled, in_flight, finished, heap_count, dirty_count, gap_count, run_count;
  // What `run` needs: the service and the line, or the corner's indices.
  I64 need_service, need[4];
} Sim;

static I64 least(I64 a, I64 b) { return a < b ? a : b; }
static I64 most(I64 a, I64 b) { return a > b ? a : b; }
static I64 divided_up(I64 a, I64 b) { return (a + b - 1) / b; }

// Sum of floor((slope * i + offset) / 2^SHIFT) over i in [0, count), all arguments >= 0.
static I64 floor_sum(I64 count, I64 slope, I64 offset) {
  I64 sum = 0, modulus = (I64)1 << SHIFT;
  while (1) {
    sum += slope / modulus * (count * (count - 1) / 2) + offset / modulus * count;
    slope %= modulus, offset %= modulus;
    I64 top = slope * count + offset;
    if (top < modulus) return sum;
    count = top / modulus;
    offset = top % modulus;
    I64 swapped = modulus;
    modulus = slope;
    slope = swapped;
  }
}

// Events: a binary heap, ordered by time, then by key: kind, then index.

static int before(Event a, Event b) { return a.time < b.time || (a.time == b.time && a.key < b.key); }

static void push(Sim *s, I64 time, I64 kind, I64 index) {
  Event event = {time, kind << 48 | index};
  I64 at = s->heap_count++;
  while (at && before(event, s->heap[(at - 1) / 2])) {
    s->heap[at] = s->heap[(at - 1) / 2];
    at = (at - 1) / 2;
  }
  s->heap[at] = event;
}

static Event pop(Sim *s) {
  Event first = s->heap[0], event = s->heap[--s->heap_count];
  I64 at = 0;
  while (2 * at + 1 < s->heap_count) {
    I64 child = 2 * at + 1;
    if (child + 1 < s->heap_count && before(s->heap[child + 1], s->heap[child])) child++;
    if (!before(s->heap[child], event)) break;
    s->heap[at] = s->heap[child];
    at = child;
  }
  s->heap[at] = event;
  return first;
}

// Contexts and blocks.

static I64 context_of(const Sim *s, const Service *v, I32 id) {
  return ((I64)s->prompt[id] + 1) * v->unit + s->progress[id];
}

static I64 blocks_of(const Service *v, I64 tokens) { return divided_up(tokens, v->block); }

static I64 decode_blocks(const Sim *s, const Service *v, I32 id, I64 further) {
  return blocks_of(v, divided_up(context_of(s, v, id) + further, v->unit) + v->drafted);
}

static I64 target_of(const Sim *s, const Service *v, I32 id) {
  I64 generated = s->left[id] == NONE ? 0 : 1 + s->progress[id] / v->unit;
  return s->prompt[id] + generated;
}

static int is_decoding(const Sim *s, I32 id) { return s->computed[id] == NONE; }
static int has_ended(const Sim *s, I32 id) { return s->left[id] == 0; }
static int estimates(const Service *v) { return v->reserve == ESTIMATE || v->reserve == LOOKAHEAD; }

// Tokens of a step come out when the next one has been launched, which takes time where it has prompts: a picosecond
// after it begins at least, so that nothing comes of them at the time at which steps begin.
static int defers(const Service *v) { return v->ahead && v->prefill_launch; }
static int has_row(const Sim *s, const Service *v, I32 id) { return v->late != LATE_SLOT || !has_ended(s, id); }
static int waits(const Sim *s, const Rank *r) { return r->head != NONE && s->entered[r->head] <= r->seen; }

static void hold(Sim *s, Rank *r, I32 id, I64 blocks) {
  r->free -= blocks - s->held[id];
  s->held[id] = (I32)blocks;
}

// What a rank holds was so since the last call: to be called before a change, at each time.
static void account(const Sim *s, const Service *v, Rank *r) {
  double time = (double)(s->now - r->since);
  r->waiting_time += time * (r->waiting + r->shared_waiting);
  r->running_time += time * r->running_count;
  r->block_time += time * (double)(v->blocks - r->free);
  r->since = s->now;
}

// Queues.

static void append(Sim *s, Rank *r, I32 id) {
  s->next[id] = NONE;
  if (r->head == NONE) r->head = id; else s->next[r->tail] = id;
  r->tail = id;
  r->waiting++;
}

static void prepend(Sim *s, Rank *r, I32 id) {
  s->next[id] = r->head;
  if (r->head == NONE) r->tail = id;
  r->head = id;
  r->waiting++;
}

static void admit(Sim *s, Rank *r) {
  I32 id = r->head;
  r->head = s->next[id];
  r->waiting--;
  r->running[r->running_count++] = id;
  if (s->admitted[id] == NONE) s->admitted[id] = s->now;
  if (s->left[id] != NONE && s->first[id] == NONE) s->first[id] = s->now + s->exit_delay;
}

// The request at a place of the running ones loses its cache and waits before all others.
static void preempt(Sim *s, Rank *r, I64 at) {
  I32 id = r->running[at];
  for (r->running_count--; at < r->running_count; at++) r->running[at] = r->running[at + 1];
  hold(s, r, id, 0);
  s->computed[id] = 0;
  s->preempted[id]++;
  if (r->chunked == id) r->chunked = NONE;
  prepend(s, r, id);
}

static I64 newest(const Sim *s, const Rank *r) {
  I64 at = r->running_count - 1;
  while (at >= 0 && has_ended(s, r->running[at])) at--;
  return at;
}

// Parts of a step.

static void take_decode(Sim *s, const Service *v, Rank *r, I32 id) {
  r->sequences++;
  r->context += context_of(s, v, id);
  r->step += v->yield;
}

static void take_prompt(Sim *s, Rank *r, I32 id, I64 tokens) {
  r->prompt += tokens;
  r->pairs += tokens * s->computed[id] + tokens * (tokens + 1) / 2;
  s->taken[id] = (I32)tokens;
  r->prompts[r->prompt_count++] = id;
}

// Room for so many blocks of a running request; those admitted last give theirs up. 0 where it was given up itself.
static int make_room(Sim *s, Rank *r, I32 id, I64 blocks, int *preempted) {
  while (blocks - s->held[id] > r->free) {
    I64 at = newest(s, r);
    I32 victim = r->running[at];
    preempt(s, r, at);
    *preempted = 1;
    if (victim == id) return 0;
  }
  hold(s, r, id, blocks);
  return 1;
}

static I64 whole_blocks(const Sim *s, const Service *v, I32 id) {
  return blocks_of(v, (I64)s->prompt[id] + s->output[id] + v->drafted);
}

static int may_admit(const Sim *s, const Service *v, const Rank *r, I32 id, I64 tokens) {
  return (v->reserve == WHOLE ? whole_blocks(s, v, id) : blocks_of(v, tokens)) <= r->free;
}

// Requests whose prompts another service has computed become running ones.
static void admit_present(Sim *s, const Service *v, Rank *r) {
  // The blocks that a chunked prompt needs yet are not given away.
  if (r->chunked != NONE) return;
  while (waits(s, r) && s->computed[r->head] == PRESENT && r->running_count < v->most_running) {
    I32 id = r->head;
    I64 blocks = v->reserve == WHOLE ? whole_blocks(s, v, id) : decode_blocks(s, v, id, 0);
    if (blocks > r->free) break;
    admit(s, r);
    hold(s, r, id, blocks);
    s->computed[id] = NONE;
  }
}

// Tokens with which the first of those that wait would take part in a mixed step with so much budget left; 0 with none.
static I64 admissible_tokens(const Sim *s, const Service *v, const Rank *r, I64 budget) {
  if (!waits(s, r) || s->computed[r->head] == PRESENT || budget <= 0 || r->running_count >= v->most_running) return 0;
  I32 id = r->head;
  I64 done = s->computed[id] ? s->computed[id] : s->hit[id], left = target_of(s, v, id) - done;
  I64 tokens = least(left, least(budget, v->threshold));
  return (left > tokens && !v->chunks) || !may_admit(s, v, r, id, done + tokens) ? 0 : tokens;
}

// Decode first, then prompts up to the budget: the running ones, then those that wait. 1 where one was preempted.
static int compose_mixed(Sim *s, const Service *v, Rank *r, int holds) {
  I64 budget = v->budget, tokens;
  int preempted = 0;
  r->decodes = 1;
  for (I64 at = 0; at < r->running_count; at++) {
    I32 id = r->running[at];
    if (is_decoding(s, id)) {
      if (!has_row(s, v, id)) continue;
      if (!has_ended(s, id) && v->reserve == GROW && !make_room(s, r, id, decode_blocks(s, v, id, 0), &preempted)) {
        at--;
        continue;
      }
      take_decode(s, v, r, id);
      budget -= 1 + v->drafted;
    } else if (!holds) {
      tokens = least(target_of(s, v, id) - s->computed[id], least(most(budget, 0), v->threshold));
      if (!tokens) continue;
      if (v->reserve == GROW && !make_room(s, r, id, blocks_of(v, s->computed[id] + tokens), &preempted)) {
        at--;
        continue;
      }
      take_prompt(s, r, id, tokens);
      budget -= tokens;
    }
  }
  while (!holds && !preempted && (tokens = admissible_tokens(s, v, r, budget))) {
    I32 id = r->head;
    I64 done = s->computed[id] ? s->computed[id] : s->hit[id];
    admit(s, r);
    hold(s, r, id, v->reserve == WHOLE ? whole_blocks(s, v, id) : blocks_of(v, done + tokens));
    s->computed[id] = (I32)done;
    take_prompt(s, r, id, tokens);
    budget -= tokens;
  }
  return preempted;
}

// Tokens that a request may still generate, at most so many as the policy counts.
static I64 further_of(const Sim *s, const Service *v, I32 id) {
  I64 left = s->output[id] - (s->left[id] == NONE ? 0 : 1 + s->progress[id] / v->unit);
  return least(most(left, 0), v->clip);
}

// Tokens that running requests are expected to take yet: a share of what they may still generate.
static I64 expected(const Sim *s, const Service *v, const Rank *r, I64 ratio) {
  I64 sum = 0;
  for (I64 at = 0; at < r->running_count; at++) sum += further_of(s, v, r->running[at]) * ratio >> 20;
  return sum;
}

static I64 insert(Ahead *look, I64 count, I64 at, Ahead one) {
  for (I64 i = count; i > at; i--) look[i] = look[i - 1];
  look[at] = one;
  return count + 1;
}

static Ahead ahead_of(const Sim *s, const Service *v, I32 id) {
  I64 generated = s->left[id] == NONE ? 0 : 1 + s->progress[id] / v->unit;
  return (Ahead){s->output[id] - generated, s->prompt[id] + generated};
}

// Whether a prompt and all that run have room up to their ends, each with a token to spare, if each of them grows by a
// token a step and frees what it has at its end. `count` is that of `look`, 0 at the first prompt of a step. The order
// is SGLang's (0.5.9, managers/schedule_policy.py, add_one_req_ignore_eos): one that ends after all others is put before
// the last of them, unless it is the first prompt.
static int has_room_ahead(Sim *s, const Service *v, const Rank *r, I32 id, I64 *count) {
  Ahead one = ahead_of(s, v, id);
  I64 at = 0, room = (r->free - blocks_of(v, target_of(s, v, id))) * v->block;
  if (*count) {
    while (at < *count - 1 && one.left > s->look[at].left) at++;
    if (one.left > 0) *count = insert(s->look, *count, at, one);
  } else
    for (I64 i = -1; i < r->running_count; i++) {
      if (i >= 0) one = ahead_of(s, v, r->running[i]);
      for (at = *count; at && s->look[at - 1].left > one.left; at--) {}
      if (one.left > 0) *count = insert(s->look, *count, at, one);
    }
  for (I64 i = 0; i < *count; room += s->look[i++].occupied)
    if (room - s->look[i].left * (*count - i) <= *count - i) return 0;
  return 1;
}

// Prompts in steps of their own, before any decode. 0 where there are none. No later chunk is refused a block, so one is
// admitted only where all of its prompt has room. `resets`: no decode runs here, so a refusal is not remembered.
static int compose_prompts(Sim *s, const Service *v, Rank *r, int resets) {
  r->decodes = 0;
  if (resets) r->full = 0;
  if (r->chunked == NONE && (r->full || !waits(s, r) || s->computed[r->head] == PRESENT)) return 0;
  int looks = v->reserve == LOOKAHEAD;
  I64 chunk = v->threshold, input = v->prompt_budget, promised = estimates(v) ? expected(s, v, r, r->ratio) : 0, count = 0;
  if (r->chunked != NONE) {
    I32 id = r->chunked;
    I64 left = target_of(s, v, id) - s->computed[id], tokens = least(left, chunk);
    if (v->reserve != WHOLE) hold(s, r, id, blocks_of(v, s->computed[id] + tokens));
    take_prompt(s, r, id, tokens);
    chunk -= tokens, input -= tokens;
    if (tokens == left) {
      r->chunked = NONE;
      if (estimates(v)) promised += further_of(s, v, id);
    }
  }
  while (waits(s, r) && s->computed[r->head] != PRESENT && chunk > 0 && input > 0) {
    I32 id = r->head;
    I64 done = s->hit[id], left = target_of(s, v, id) - done, room = r->free * v->block - promised;
    I64 needed = blocks_of(v, done + left) * v->block, further = further_of(s, v, id);
    r->full = estimates(v) && (r->running_count >= v->most_running || (looks ? needed > room : needed + further >= room) ||
                               (looks && !has_room_ahead(s, v, r, id, &count)));
    if (r->full || r->running_count >= v->most_running || (!estimates(v) && !may_admit(s, v, r, id, done + left))) break;
    if (!looks && left >= input && r->prompt_count) break;
    if (left > chunk && !v->chunks && r->prompt_count) break;
    I64 tokens = left > chunk && v->chunks ? looks ? chunk : chunk / v->block * v->block : left;
    if (tokens <= 0) break;
    admit(s, r);
    s->computed[id] = (I32)done;
    hold(s, r, id, v->reserve == WHOLE ? whole_blocks(s, v, id) : blocks_of(v, done + tokens));
    take_prompt(s, r, id, tokens);
    chunk -= tokens, input -= tokens;
    if (tokens < left) r->chunked = id;
    else if (estimates(v)) promised += further;
    r->full = estimates(v) && r->free * v->block <= promised;
    if (r->full || tokens < left) break;
  }
  return r->prompt_count > 0;
}

// Of the running requests the one to give its cache up: with the fewest generated tokens, then the longest prompt.
static I64 to_retract(const Sim *s, const Rank *r) {
  I64 found = NONE;
  for (I64 at = 0; at < r->running_count; at++) {
    I32 id = r->running[at];
    if (has_ended(s, id) || !is_decoding(s, id)) continue;
    I32 best = found == NONE ? NONE : r->running[found];
    if (found == NONE || s->progress[id] < s->progress[best] ||
        (s->progress[id] == s->progress[best] && s->prompt[id] >= s->prompt[best]))
      found = at;
  }
  return found;
}

static void retract(Sim *s, const Service *v, Rank *r, I64 at) {
  I32 id = r->running[at];
  preempt(s, r, at);
  r->full = 0;
  // It waits behind all others that have been received, not before them.
  I32 last = id;
  while (s->next[last] != NONE && s->entered[s->next[last]] <= r->seen) last = s->next[last];
  if (last != id) {
    r->head = s->next[id];
    s->next[id] = s->next[last];
    s->next[last] = id;
    if (r->tail == last) r->tail = id;
  }
  I64 decoded = 0, whole = 0;
  for (I64 i = 0; i < r->running_count; i++) {
    decoded += 1 + s->progress[r->running[i]] / v->unit + 20;
    whole += s->output[r->running[i]];
  }
  r->ratio = whole ? least(most(decoded, 0) * (1 << 20) / whole, 1 << 20) : v->ratio_first;
}

// 1 where one was retracted.
static int compose_decode(Sim *s, const Service *v, Rank *r) {
  int retracted = 0;
  r->decodes = 1;
  while (v->reserve != WHOLE) {
    I64 missing = -r->free;
    for (I64 at = 0; at < r->running_count; at++) {
      I32 id = r->running[at];
      if (is_decoding(s, id) && !has_ended(s, id)) missing += decode_blocks(s, v, id, 0) - s->held[id];
    }
    if (missing <= 0) break;
    I64 at = to_retract(s, r);
    if (at == NONE) break;
    retract(s, v, r, at);
    retracted = 1;
  }
  for (I64 at = 0; at < r->running_count; at++) {
    I32 id = r->running[at];
    if (!is_decoding(s, id) || !has_row(s, v, id)) continue;
    if (!has_ended(s, id) && v->reserve != WHOLE) hold(s, r, id, decode_blocks(s, v, id, 0));
    take_decode(s, v, r, id);
  }
  return retracted;
}

// Requests of the shared queue are given to ranks as a step is composed: as many as slots are free. None of the ranks
// has more than an equal share of all, or than the largest one has. Long prompts come first, each to the rank with the
// fewest prompt tokens, then requests (TensorRT-LLM 1.1, _torch/pyexecutor/executor_request_queue.py).
static void assign(Sim *s, const Service *v, Rank *ranks, I64 first_place) {
  I64 active = 0, count = 0, largest = 0;
  for (I64 i = 0; i < v->ranks; i++) {
    Rank *r = &ranks[i];
    I64 own = r->waiting + r->running_count;
    active += own, largest = most(largest, own);
  }
  for (I32 id = ranks->shared_head; id != NONE && s->entered[id] <= ranks->seen; id = s->next[id]) count++;
  count = least(count, v->ranks * v->most_running - active);
  if (count <= 0) return;
  for (I64 i = 0; i < v->ranks; i++) {
    Rank *r = &ranks[i];
    r->prompt = 0;
    for (I64 at = 0; at < r->running_count; at++) r->prompt += s->prompt[r->running[at]];
    for (I32 id = r->head; id != NONE; id = s->next[id]) r->prompt += s->prompt[id];
  }
  I64 share = most(divided_up(active + count, v->ranks), largest);
  for (; count; count--) {
    I32 before = NONE, id = ranks->shared_head, last = id;
    for (I64 i = 1; i < count; i++) {
      I32 other = s->next[last];
      if (s->prompt[other] > s->prompt[id]) before = last, id = other;
      last = other;
    }
    if (before == NONE) ranks->shared_head = s->next[id]; else s->next[before] = s->next[id];
    if (ranks->shared_tail == id) ranks->shared_tail = before;
    ranks->shared_waiting--;
    Rank *to = 0;
    for (I64 i = 0; i < v->ranks; i++) {
      Rank *r = &ranks[i];
      I64 own = r->waiting + r->running_count;
      if (own < share && (!to || r->prompt < to->prompt ||
                          (r->prompt == to->prompt && own < to->waiting + to->running_count)))
        to = r;
    }
    to->prompt += s->prompt[id];
    s->place[id] = (I32)(first_place + (to - ranks));
    append(s, to, id);
  }
}

static Rank *ranks_of(const Sim *s, I64 service, I64 replica) {
  const Service *v = &s->services[service];
  I64 first = service ? s->services[0].replicas * s->services[0].ranks : 0;
  return s->ranks + first + replica * v->ranks;
}

static Replica *replica_of(const Sim *s, I64 service, I64 replica) {
  return s->replicas + (service ? s->services[0].replicas : 0) + replica;
}

// Whether the prompts of some ranks wait until all have one: for `balance` steps at most, and while all ranks decode. A
// prompt that the cache or the budget has no room for does not count (TensorRT-LLM 1.1,
// _torch/pyexecutor/py_executor.py, _balance_adp_requests, which counts what the scheduler has admitted).
static int holds_prompts(const Sim *s, const Service *v, Replica *p, const Rank *ranks) {
  if (!v->balance || !v->mixes) return 0;
  I64 with = 0, decoding = 0;
  for (I64 i = 0; i < v->ranks; i++) {
    const Rank *r = &ranks[i];
    I64 budget = v->budget;
    int has_prompt = 0, decodes = 0;
    for (I64 at = 0; at < r->running_count; at++)
      if (!is_decoding(s, r->running[at])) has_prompt = 1;
      else decodes = 1, budget -= has_row(s, v, r->running[at]) ? 1 + v->drafted : 0;
    has_prompt = has_prompt ? budget > 0 : admissible_tokens(s, v, r, budget) > 0;
    with += has_prompt, decoding += decodes;
  }
  p->may_hold = with > 0;
  return with && with < v->ranks && decoding == v->ranks && p->waited < v->balance;
}

// What each rank of a replica has in its next step. Where prompts have steps of their own, a rank without any is idle in
// a step in which another has one, or, `beside`, it decodes. 1 where one was preempted, so that after this step others
// may come in.
static int compose(Sim *s, const Service *v, Replica *p, Rank *ranks) {
  int has_prompts = 0, preempted = 0, resets = s->service_count > 1 && v == s->services;
  for (I64 i = 0; i < v->ranks; i++) {
    Rank *r = &ranks[i];
    r->sequences = r->context = r->prompt = r->pairs = r->step = 0;
    r->prompt_count = 0;
    admit_present(s, v, r);
  }
  p->holds = holds_prompts(s, v, p, ranks);
  if (!p->holds) p->waited = 0;
  for (I64 i = 0; i < v->ranks; i++) {
    Rank *r = &ranks[i];
    if (v->mixes) preempted |= compose_mixed(s, v, r, p->holds);
    else has_prompts |= compose_prompts(s, v, r, resets);
  }
  if (v->mixes || (has_prompts && !v->beside)) return preempted;
  for (I64 i = 0; i < v->ranks; i++)
    if (!ranks[i].prompt_count) preempted |= compose_decode(s, v, &ranks[i]);
  return preempted;
}

// Times of steps.

// The last node at or below a value, so that the next node is above it; 0 below the first node.
static I64 node_below(const double *nodes, I64 count, double value) {
  I64 low = 0, high = count - 1;
  while (high - low > 1) {
    I64 middle = (low + high) / 2;
    if (nodes[middle] <= value) low = middle; else high = middle;
  }
  return low;
}

static double weight(const double *nodes, I64 count, I64 at, double value) {
  if (count == 1) return 0;
  double found = (value - nodes[at]) / (nodes[at + 1] - nodes[at]);
  return found < 0 ? 0 : found;
}

static const I64 *line_of(const Times *t, I64 sequences, I64 fullness) {
  return t->lines + ((sequences - 1) * t->fullness_count + fullness) * t->pieces * 3;
}

// Base and slope of a decode step, and how far in its context they hold. 0 where the line is not filled.
static int decode_line(Sim *s, I64 service, I64 sequences, I64 context, double fullness, Replica *to, I64 *until) {
  const Times *t = &s->services[service].times;
  I64 at = node_below(t->fullness, t->fullness_count, fullness);
  double share = weight(t->fullness, t->fullness_count, at, fullness);
  if (share == 1) at++, share = 0;
  for (I64 node = at; node <= at + (share > 0); node++)
    if (sequences > t->most_line || ~line_of(t, sequences, node)[1] == NONE) {
      s->need_service = service, s->need[0] = sequences, s->need[1] = node;
      return 0;
    }
  const I64 *line = line_of(t, sequences, at);
  I64 piece = t->pieces - 1;
  while (piece && ~line[piece * 3] > context) piece--;
  *until = piece + 1 < t->pieces ? ~line[(piece + 1) * 3] : INT64_MAX;
  const I64 *low = line + piece * 3, *high = share > 0 ? low + t->pieces * 3 : low;
  // A difference of complements has the other sign.
  to->base = ~low[1] + (I64)((double)(low[1] - high[1]) * share);
  to->slope = ~low[2] + (I64)((double)(low[2] - high[2]) * share);
  to->context = context - ~low[0];
  return 1;
}

// What prompt tokens add to a step, by interpolation between corners. NONE where one is not filled. Kernels take tiles of
// all rows of a step, so nodes are of these. The position is that from which one prompt attends to as many pairs. Corners
// that are no step, as they attend to fewer pairs than tokens, may be below 0; a time is not.
static I64 prompt_time(Sim *s, I64 service, I64 sequences, I64 prompt, I64 pairs, double fullness) {
  const Times *t = &s->services[service].times;
  const double *nodes[4] = {t->sequences, t->prompts, t->contexts, t->fullness};
  I64 counts[4] = {t->sequence_count, t->prompt_count, t->context_count, t->fullness_count}, at[4];
  I64 rows = sequences * (1 + s->services[service].drafted) + prompt;
  double position = (double)pairs / (double)prompt - (double)(prompt + 1) / 2;
  double values[4] = {(double)sequences, (double)rows, position, fullness}, shares[4], sum = 0;
  for (int i = 0; i < 4; i++) {
    at[i] = node_below(nodes[i], counts[i], values[i]);
    shares[i] = weight(nodes[i], counts[i], at[i], values[i]);
  }
  for (int corner = 0; corner < 16; corner++) {
    double part = 1;
    I64 index = 0, own[4];
    for (int i = 0; i < 4; i++) {
      int up = corner >> i & 1;
      part *= up ? shares[i] : 1 - shares[i];
      own[i] = at[i] + (up && counts[i] > 1);
      index = index * counts[i] + own[i];
    }
    if (part == 0) continue;
    I64 corner_time = ~t->corners[index];
    if (corner_time == NONE) {
      s->need_service = service;
      for (int i = 0; i < 4; i++) s->need[i] = own[i];
      return NONE;
    }
    sum += part * (double)corner_time;
  }
  return most((I64)(sum + 0.5), sequences ? 0 : s->services[service].prefill_floor);
}

static I64 step_sum(const Replica *p, I64 steps) {
  return steps * (p->base + p->extra) + floor_sum(steps, p->slope * p->growth, p->slope * p->context);
}

// Runs of steps.

// Steps until a request of a rank has its last token, its cache is full, or one that waits could come in.
static I64 rank_limit(const Sim *s, const Service *v, const Replica *p, const Rank *r) {
  I64 limit = INT32_MAX, growth = 0;
  if (r->head != NONE && !waits(s, r)) limit = v->poll - p->polled;
  if (r->shared_head != NONE && s->entered[r->shared_head] > r->seen) limit = v->poll - p->polled;
  for (I64 at = 0; at < r->running_count; at++) {
    I32 id = r->running[at];
    if (has_ended(s, id)) return 1;
    limit = least(limit, s->left[id]);
  }
  if (v->reserve == WHOLE) return limit;
  if (r->running_count * (divided_up(limit * v->yield, v->unit * v->block) + 1) <= r->free) return limit;
  I64 low = 1, high = limit;
  while (low < high) {
    I64 steps = (low + high + 1) / 2;
    growth = 0;
    for (I64 at = 0; at < r->running_count; at++) {
      I32 id = r->running[at];
      growth += decode_blocks(s, v, id, (steps - 1) * v->yield) - s->held[id];
    }
    if (growth <= r->free) low = steps; else high = steps - 1;
  }
  return low;
}

// Sequences that have ended and take part in no step leave before their time: there is no step to wait for.
static void free_slots(Sim *s, Rank *r) {
  I64 kept = 0;
  for (I64 at = 0; at < r->running_count; at++) {
    I32 id = r->running[at];
    if (has_ended(s, id)) hold(s, r, id, 0), r->full = 0; else r->running[kept++] = id;
  }
  r->running_count = (I32)kept;
}

enum { COMPOSED = 1, PREEMPTING = 2 };

// A request enters the queue of a replica in a run: the run ends with the step that is under way.
static void cut(Sim *s, I64 service, I64 number) {
  const Service *v = &s->services[service];
  Replica *p = replica_of(s, service, number);
  if (p->begin == NONE || p->steps == 1) return;
  I64 low = 1, high = p->steps;
  while (low < high) {
    I64 middle = (low + high) / 2;
    if (p->begin + step_sum(p, middle) >= s->now) high = middle; else low = middle + 1;
  }
  low += v->ahead;
  low += v->poll - 1 - (p->polled + low - 1) % v->poll;
  if (low >= p->steps) return;
  p->steps = low, p->end = p->begin + step_sum(p, low);
  push(s, p->end, STEP_ENDS, service << 32 | number);
}

static void mark(Sim *s, I64 service, I64 number) {
  Replica *p = replica_of(s, service, number);
  I64 at = s->dirty_count, place = p - s->replicas;
  if (p->dirty) return;
  p->dirty = 1;
  for (s->dirty_count++; at && s->dirty[at - 1] > place; at--) s->dirty[at] = s->dirty[at - 1];
  s->dirty[at] = (I32)place;
}

// Clients and the router.

static void issue(Sim *s) {
  while (s->issued_count < s->count && (!s->cap || s->in_flight < s->cap)) {
    I64 id = s->issued_count;
    if (s->arrival[id] > s->now) {
      if (s->scheduled != id) push(s, s->arrival[id], ISSUES, id);
      s->scheduled = id;
      return;
    }
    s->issued[id] = s->now;
    s->issued_count++, s->in_flight++;
    push(s, s->now + s->entry, ENTERS, id);
  }
}

static void leave(Sim *s) {
  s->in_flight--;
  issue(s);
}

// A request is done, and its last token on its way to the client.
static void finish(Sim *s, I32 id, I64 time) {
  s->last[id] = time + s->exit_delay;
  s->finished++;
  if (s->last[id] > s->now) push(s, s->last[id], LEAVES, id); else leave(s);
}

static void enter(Sim *s, I64 service, I32 id) {
  Service *v = &s->services[service];
  I64 queues = v->replicas * v->ranks, chosen = v->entered % queues;
  Rank *ranks = ranks_of(s, service, 0);
  if (v->router == BY_REPLICA)
    chosen = v->entered % v->replicas * v->ranks + v->entered / v->replicas % v->ranks;
  if (v->router == SHORTEST_QUEUE)
    for (I64 i = 0, least_load = INT64_MAX; i < queues; i++) {
      I64 load = 4 * (I64)ranks[i].waiting + ranks[i].running_count;
      if (load < least_load) least_load = load, chosen = i;
    }
  s->place[id] = (I32)chosen;
  s->entered[id] = s->now;
  if (v->router == SHARED_QUEUE) {
    chosen = v->entered % v->replicas * v->ranks;
    Rank *first = &ranks[chosen];
    account(s, v, first);
    s->next[id] = NONE;
    if (first->shared_head == NONE) first->shared_head = id; else s->next[first->shared_tail] = id;
    first->shared_tail = id;
    first->shared_waiting++;
  } else {
    account(s, v, &ranks[chosen]);
    append(s, &ranks[chosen], id);
  }
  v->entered++;
  I64 number = chosen / v->ranks;
  if (replica_of(s, service, number)->begin == NONE) mark(s, service, number); else cut(s, service, number);
}

// Ends of steps and of transfers.

static void add_gap(Sim *s, I64 gap, I64 sequences) {
  if (s->gap_count) {
    GapRow *row = &s->gaps[s->gap_count - 1];
    if (row->steps == 1 && row->base == gap && !row->slope) {
      row->sequences += sequences;
      return;
    }
  }
  s->gaps[s->gap_count++] = (GapRow){gap, 0, 0, 0, 1, sequences};
}

static void remove_running(Rank *r, I32 id) {
  I64 at = 0;
  while (r->running[at] != id) at++;
  for (r->running_count--; at < r->running_count; at++) r->running[at] = r->running[at + 1];
}

static void transfer(Sim *s, const Service *v, Replica *p, I32 id, I64 time) {
  p->link = most(time, p->link) + v->transfer_base + v->transfer_token * s->prompt[id];
  push(s, p->link, TRANSFER_ENDS, id);
}

// A token is out; `is_first`: the one that a prompt yields.
static void put_out_one(Sim *s, I64 service, Replica *p, I32 id, int is_first, I64 time) {
  if (!is_first) {
    if (s->counted[id]) add_gap(s, time - s->last[id], 1);
  } else if (s->service_count == 1 || s->first_token == AFTER_PREFILL || !s->left[id]) s->first[id] = time + s->exit_delay;
  if (is_first && s->service_count > 1 && s->left[id]) transfer(s, &s->services[service], p, id, time);
  s->last[id] = time;
  if (has_ended(s, id)) finish(s, id, time);
}

static void put_out(Sim *s, I64 service, Replica *p, I64 time) {
  for (I64 at = 0; at < p->output_count; at++) {
    I32 id = p->outputs[at];
    put_out_one(s, service, p, id < 0 ? ~id : id, id < 0, time);
  }
  p->output_count = 0;
}

static void yield(Sim *s, I64 service, Replica *p, I32 id, int is_first) {
  if (defers(&s->services[service])) p->outputs[p->output_count++] = is_first ? ~id : id;
  else put_out_one(s, service, p, id, is_first, s->now);
}

// Sequences that were decoded have more tokens; those with all of them leave. Returns how many were decoded, and adds to
// `counted` how many of these are.
static I64 end_decodes(Sim *s, I64 service, Replica *p, Rank *r, I64 *counted) {
  const Service *v = &s->services[service];
  // Tokens of all steps but the last are out.
  I64 kept = 0, decoded = 0, out = p->begin + defers(v);
  double half = (double)(p->end - p->begin) / 2;
  I64 first_out = out + step_sum(p, 1), before_last = out + step_sum(p, p->steps - 1);
  for (I64 at = 0; at < r->running_count; at++) {
    I32 id = r->running[at];
    if (is_decoding(s, id) && has_ended(s, id) && (r->decodes || v->late == LATE_SLOT)) {
      hold(s, r, id, 0);
      r->full = 0;
      continue;
    }
    if (is_decoding(s, id) && r->decodes) {
      if (p->steps > 1) {
        if (s->counted[id]) add_gap(s, first_out - s->last[id], 1);
        s->last[id] = before_last;
      }
      // Its blocks have grown evenly over the run.
      if (v->reserve != WHOLE && p->steps > 1)
        r->block_time += half * (double)(decode_blocks(s, v, id, (p->steps - 1) * v->yield) - s->held[id]);
      decoded++, *counted += s->counted[id];
      s->progress[id] += p->steps * v->yield;
      s->left[id] -= (I32)p->steps;
      yield(s, service, p, id, 0);
      if (has_ended(s, id) && v->late == LEAVES_AT_END) {
        hold(s, r, id, 0);
        r->full = 0;
        continue;
      }
      if (v->reserve != WHOLE) hold(s, r, id, decode_blocks(s, v, id, -v->yield));
    }
    r->running[kept++] = id;
  }
  r->running_count = (I32)kept;
  return decoded;
}

// Prompts have their tokens of the step; those that are whole yield a token.
static void end_prompts(Sim *s, I64 service, Replica *p, Rank *r) {
  const Service *v = &s->services[service];
  for (I64 at = 0; at < r->prompt_count; at++) {
    I32 id = r->prompts[at];
    s->computed[id] += s->taken[id];
    if (s->computed[id] < target_of(s, v, id)) continue;
    s->computed[id] = NONE;
    int is_first = s->left[id] == NONE;
    if (is_first) {
      s->left[id] = (I32)divided_up(((I64)s->output[id] - 1) * v->unit, v->yield);
      if (s->service_count > 1 && s->left[id]) remove_running(r, id);
    } else {
      s->left[id]--;
      s->progress[id] += v->yield;
    }
    yield(s, service, p, id, is_first);
    if (!has_ended(s, id) || v->late != LEAVES_AT_END) continue;
    r->full = 0;
    remove_running(r, id);
    hold(s, r, id, 0);
  }
  r->prompt_count = 0;
}

// Begin a run of a replica that is free. 0 where a step time is missing, 1 otherwise.
static int begin(Sim *s, I64 service, I64 number) {
  Service *v = &s->services[service];
  Replica *p = replica_of(s, service, number);
  Rank *ranks = ranks_of(s, service, number);
  if (!p->composed) {
    for (I64 i = 0; i < v->ranks; i++) {
      ranks[i].seen = p->seen;
      account(s, v, &ranks[i]);
    }
    if (v->router == SHARED_QUEUE) assign(s, v, ranks, number * v->ranks);
    p->composed = compose(s, v, p, ranks) ? PREEMPTING : COMPOSED;
  }
  p->growth = 0;
  I64 sequences = 0, context = 0, prompt = 0, pairs = 0, total = 0, limit = INT32_MAX, fullest = 0, widest = 0;
  for (I64 i = 0; i < v->ranks; i++) {
    Rank *r = &ranks[i];
    sequences = most(sequences, r->sequences);
    if (r->context > context || (r->context == context && r->step > p->growth)) context = r->context, p->growth = r->step;
    prompt = most(prompt, r->prompt), pairs = most(pairs, r->pairs);
    fullest = r->sequences * (1 + v->drafted) + r->prompt;
    widest = most(widest, fullest), total += fullest;
  }
  if (!total) {
    put_out(s, service, p, s->now + 1);
    // A replica with an empty step is idle and receives at once: what it has not seen yet may be there. What was
    // preempted, and left the step empty, may come in at once too.
    int again = p->composed == PREEMPTING || p->seen != INT64_MAX;
    p->composed = 0, p->seen = INT64_MAX, p->polled = 0;
    for (I64 i = 0; i < v->ranks && v->late == LATE_SLOT; i++) free_slots(s, &ranks[i]);
    return again ? begin(s, service, number) : 1;
  }
  double fullness = (double)total / (double)(widest * v->ranks);
  I64 until = INT64_MAX;
  p->base = p->slope = p->context = p->extra = 0;
  if (sequences && !decode_line(s, service, sequences, context, fullness, p, &until)) return 0;
  if (p->composed == PREEMPTING) limit = 1;
  if (prompt) {
    p->extra = prompt_time(s, service, sequences, prompt, pairs, fullness);
    if (p->extra == NONE) return 0;
    limit = 1;
  }
  for (I64 i = 0; i < v->ranks && limit > 1; i++) {
    Rank *r = &ranks[i];
    limit = least(limit, rank_limit(s, v, p, r));
    // Another rank's context overtakes the largest one.
    if (r->step > p->growth) limit = least(limit, (context - r->context) / (r->step - p->growth) + 1);
  }
  if (p->holds) limit = least(limit, v->balance - p->waited);
  // Room for a prompt changes with each step where sequences take blocks as they grow.
  if (p->may_hold && v->reserve == GROW) limit = 1;
  if (p->growth && until != INT64_MAX) limit = least(limit, divided_up(until - context, p->growth));
  p->composed = 0;
  p->has_prompts = prompt > 0;
  if (p->seen == INT64_MAX) p->seen = p->composed_at = s->now;
  // An eager step is not over before the host has launched all of it. One ahead, that began with the step before.
  p->launched = p->composed_at + (prompt && widest > v->graph_tokens ? v->prefill_launch : 0);
  if (prompt) p->extra += most(0, p->launched - s->now - step_sum(p, 1));
  put_out(s, service, p, most(s->now + 1, p->launched));
  p->begin = s->now, p->steps = p->planned = most(limit, 1), p->end = s->now + step_sum(p, p->steps);
  push(s, p->end, STEP_ENDS, service << 32 | number);
  return 1;
}

static void end_run(Sim *s, I64 service, I64 number) {
  Service *v = &s->services[service];
  Replica *p = replica_of(s, service, number);
  if (p->begin == NONE || p->end != s->now) return;
  Rank *ranks = ranks_of(s, service, number);
  I64 decoded = 0, counted = 0;
  for (I64 i = 0; i < v->ranks; i++) {
    account(s, v, &ranks[i]);
    I64 own = end_decodes(s, service, p, &ranks[i], &counted);
    decoded += own;
    end_prompts(s, service, p, &ranks[i]);
    if (estimates(v) && own) ranks[i].ratio = most(v->ratio_min, ranks[i].ratio - p->steps * v->ratio_fall);
  }
  if (p->steps > 2 && counted)
    s->gaps[s->gap_count++] = (GapRow){p->base, p->slope, p->context + p->growth, p->growth, p->steps - 2, counted};
  if (p->holds) p->waited += p->steps;
  p->busy += p->end - p->begin;
  p->sequence_time += (p->end - p->begin) / 1024 * decoded;
  if (s->has_runs) {
    RunRow *row = &s->runs[s->run_count++];
    *row = (RunRow){p->begin, p->end, p->steps, service << 32 | number, decoded, 0, 0, 0};
    for (I64 i = 0; i < v->ranks; i++) {
      row->prompt += ranks[i].prompt;
      row->waiting += ranks[i].waiting + ranks[i].shared_waiting;
      row->blocks += v->blocks - ranks[i].free;
    }
  }
  // The next step is composed now, or, `ahead`, when this one begins and the host is through with its launch. Requests
  // are received then if `poll` decode steps, or one with prompts, were composed since they were last.
  p->composed_at = v->ahead ? most(p->begin + step_sum(p, p->steps - 1), p->launched) : s->now;
  p->polled = p->has_prompts ? v->poll : p->polled + p->steps;
  if (p->polled >= v->poll) {
    p->polled %= v->poll;
    p->seen = p->polled ? p->begin + step_sum(p, p->steps - p->polled - v->ahead) : p->composed_at;
  }
  p->begin = NONE;
  mark(s, service, number);
}

static void end_transfer(Sim *s, I32 id) {
  Rank *r = &ranks_of(s, 0, 0)[s->place[id]];
  account(s, &s->services[0], r);
  hold(s, r, id, 0);
  if (r->head != NONE) {
    I64 number = s->place[id] / s->services[0].ranks;
    if (replica_of(s, 0, number)->begin == NONE) mark(s, 0, number);
  }
  s->computed[id] = PRESENT;
  s->progress[id] = 0;
  if (s->first_token == AFTER_TRANSFER) s->first[id] = s->now + s->exit_delay;
  enter(s, 1, id);
}

static void happen(Sim *s, Event event) {
  I64 kind = event.key >> 48, index = event.key & (((I64)1 << 48) - 1);
  s->now = event.time;
  if (kind == STEP_ENDS) end_run(s, index >> 32, index & 0xffffffff);
  else if (kind == TRANSFER_ENDS) end_transfer(s, (I32)index);
  else if (kind == LEAVES) leave(s);
  else if (kind == ISSUES) issue(s);
  else enter(s, 0, (I32)index);
}

static int begin_marked(Sim *s) {
  I64 first = s->services[0].replicas;
  while (s->dirty_count) {
    I64 place = s->dirty[0], service = place >= first;
    if (!begin(s, service, place - service * first)) return 0;
    s->replicas[place].dirty = 0;
    s->dirty_count--;
    for (I64 i = 0; i < s->dirty_count; i++) s->dirty[i] = s->dirty[i + 1];
  }
  return 1;
}

// Run until all requests are done, or something is missing. The first call has everything set and `now` 0.
I64 run(Sim *s) {
  if (!s->issued_count && !s->heap_count) issue(s);
  while (1) {
    if (s->gap_count + s->count_margin > s->gap_room || s->run_count >= s->run_room) return ROWS_FULL;
    if (!s->heap_count || s->heap[0].time > s->now) {
      s->need[3] = NONE;
      if (!begin_marked(s)) return s->need[3] == NONE ? NEED_LINE : NEED_CELL;
      if (!s->heap_count) return DONE;
    }
    happen(s, pop(s));
  }
}
