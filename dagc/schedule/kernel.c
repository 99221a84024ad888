// The schedule of a phase: when each step of each copy of each issue starts, and the critical path back from the end.
//
// A value of a copy (a lane, a stream, the end of a step) has `ranks` times, one for each rank of its team, in
// picoseconds. Where no rank takes longer than another, one time serves all. Nothing is allocated; the caller lays out
// tables and state. `kernel.py` and `template.py` write the structs, `interpreter.py` says the same in Python.
//
// An invocation of a stage is a max-plus map: where what it reads is that of the invocation before plus a shift, so is
// all that it writes, which then is copied.

#include <stdint.h>

typedef int64_t Time;
typedef int32_t Int;

#define NONE (-1)

typedef struct {
  Int count, size;  // groups, and ranks of each
  const Int *ranks;
} Groups;

typedef struct {
  Int value;
  Int lane;  // of the value where it is of another team, whose last rank counts; NONE where ranks wait for themselves
} Wait;

typedef struct {
  Int lane, wait_count, data_count, link_count;
  Int receive, send;  // number of the message among those of the copy, or NONE
  Int row_count;     // durations: one, or one for each copy
  const Wait *waits;
  const Int *links;
  const Time *durations;
  const Groups *groups;
} Step;

typedef struct {
  Int lane_count, stream_count, step_count, out_count, sends, receives;
  const Step *steps;
  const Int *out_sizes;
  const Wait *outs;
} Template;

typedef struct {
  Int template, count;
  Int members;  // issues in lock step at the first of them, 0 at the others
  Int offset;   // row of the first copy's durations
  Int lanes;    // where its lanes are in `lane_maps`
  Int streams;  // number of its streams' place
  Int edges;    // 1: first of an invocation that starts without streams, 2: last of it
  Int counts;   // 1: its end counts for the makespan
  Int own, peer;  // message slots: what the invocation sends, and what it receives
  Int step, micro_batch, size, stage, position;  // for those who read the table
} Issue;

// A place of the critical path.
typedef struct {
  Int row, rank, team, unused;
  Time start, end;
} Passed;

typedef struct {
  const Issue *issues;
  const Int *rows, *entries;  // of the first copy of each issue: its first step, and the copy itself, in the record
  Int issue_count;
  const Template *templates;
  const Int *lane_maps, *widths;  // ranks by lane of the phase
  Int ranks, most_streams, most_inputs;
  // State: ready times, and the row of the step that each comes from.
  Time *lanes, *streams, *messages;  // a message is a start and an end
  Int *lane_rows, *stream_rows, *message_rows, *stream_counts, *message_widths;
  // Of one copy.
  Time *values, *scratch;
  // Of each place of streams and, after those, of the invocation that runs: see `Memo`.
  Time *memos;
  Int stream_places, memo_size;
  // Record, or null: starts by row from `first_row` on, and by entry from `first_entry` on the rows of its inputs.
  Time *starts;
  Int *sources;
  Int first_row, first_entry;
  // Arguments of a call, here because each that is passed costs the caller more than a pass over a small phase.
  Int first, last, reverse;  // issues
  Int row, rank, most;       // of the critical path
  Passed *path;
  Int team, older, newer;    // rows at which the record has the last two periods; no older one: NONE
  // Results.
  Int last_issue, count, copied;  // `copied` are the invocations that were
  Time floor;  // argument: nothing that counts starts before it
  Time time;
} Phase;

#define INLINE static inline __attribute__((always_inline))

INLINE Time later(Time a, Time b) { return a > b ? a : b; }

INLINE Time latest(const Time *times, Int ranks) {
  Time found = times[0];
  for (Int r = 1; r < ranks; r++) found = later(found, times[r]);
  return found;
}

INLINE void copy(Time *to, const Time *from, Int ranks) {
  for (Int r = 0; r < ranks; r++) to[r] = from[r];
}

INLINE void wait_for(Time *start, const Time *times, Int ranks) {
  for (Int r = 0; r < ranks; r++) start[r] = later(start[r], times[r]);
}

INLINE void wait_until(Time *start, Time time, Int ranks) {
  for (Int r = 0; r < ranks; r++) start[r] = later(start[r], time);
}

// A receive starts no earlier than its send, and ends no earlier.
INLINE void join_message(Time *start, const Time *begun, const Time *done, Int width, const Time *duration, Int ranks) {
  if (width == ranks) {
    for (Int r = 0; r < ranks; r++) start[r] = later(start[r], later(begun[r], done[r] - duration[r]));
  } else {
    Time first = latest(begun, width), last = latest(done, width);
    for (Int r = 0; r < ranks; r++) start[r] = later(start[r], later(first, last - duration[r]));
  }
}

INLINE void start_together(Time *start, const Groups *groups) {
  const Int *ranks = groups->ranks;
  for (Int g = 0; g < groups->count; g++, ranks += groups->size) {
    Time last = start[ranks[0]];
    for (Int i = 1; i < groups->size; i++) last = later(last, start[ranks[i]]);
    for (Int i = 0; i < groups->size; i++) start[ranks[i]] = last;
  }
}

// One copy of a template; `row` and `entry` are its numbers in the record. Returns its last end.
INLINE Time run_copy(Phase *phase, const Issue *issue, Int number, Int row, Int entry, Int reverse, Time floor, Int N) {
  const Template *template = &phase->templates[issue->template];
  const Int *map = phase->lane_maps + issue->lanes;
  Int lanes = template->lane_count, streams = template->stream_count, inputs = lanes + streams;
  Time *values = phase->values, *scratch = phase->scratch;
  Int *sources = phase->sources ? phase->sources + (int64_t)(entry - phase->first_entry) * phase->most_inputs : 0;
#define WIDTH(lane) (N < 2 ? N : phase->widths[map[lane]])
#define VALUE(value) (values + (int64_t)(value) * N)

  for (Int lane = 0; lane < lanes; lane++) {
    copy(VALUE(lane), phase->lanes + (int64_t)map[lane] * N, N);
    if (sources) sources[lane] = phase->lane_rows[map[lane]];
  }
  Time *own_streams = phase->streams + (int64_t)issue->streams * phase->most_streams * N;
  Int *own_stream_rows = phase->stream_rows + issue->streams * phase->most_streams;
  Int there = phase->stream_counts[issue->streams];
  for (Int stream = 0; stream < streams; stream++) {
    Int from = stream < there ? stream : there - 1;
    copy(VALUE(lanes + stream), own_streams + (int64_t)from * N, N);
    if (sources) sources[lanes + stream] = own_stream_rows[from];
  }
  Int receives = reverse ? issue->own + number * template->sends : issue->peer + number * template->receives;
  Int sends = reverse ? issue->peer + number * template->receives : issue->own + number * template->sends;

  for (Int i = 0; i < template->step_count; i++) {
    const Step *step = &template->steps[i];
    Int width = WIDTH(step->lane);
    Time *end = VALUE(inputs + i), *start = scratch + (int64_t)i * N;
    const Time *duration = step->durations + (int64_t)(step->row_count > 1 ? issue->offset + number : 0) * N;
    for (Int r = 0; r < width; r++) start[r] = INT64_MIN;
    for (Int w = 0; w < step->wait_count; w++) {
      Wait wait = step->waits[w];
      if (wait.lane == NONE) wait_for(start, VALUE(wait.value), width);
      else wait_until(start, latest(VALUE(wait.value), WIDTH(wait.lane)), width);
    }
    for (Int l = 0; l < step->link_count; l++) {
      Int link = step->links[l], other = WIDTH(template->steps[link].lane);
      Time begun = latest(scratch + (int64_t)link * N, other), done = latest(VALUE(inputs + link), other);
      join_message(start, &begun, &done, width == 1 ? 1 : 0, duration, width);
    }
    if (step->receive != NONE) {
      Int slot = receives + step->receive, sender = phase->message_widths[slot];
      const Time *begun = phase->messages + (int64_t)2 * slot * N;
      if (sender) join_message(start, begun, begun + N, sender, duration, width);
      if (sources) sources[inputs + step->receive] = sender ? phase->message_rows[slot] : NONE;
      phase->message_widths[slot] = 0;
    }
    if (floor) wait_until(start, floor, width);
    if (N > 1 && step->groups) start_together(start, step->groups);
    for (Int r = 0; r < width; r++) end[r] = start[r] + duration[r];
    if (step->send != NONE) {
      Int slot = sends + step->send;
      Time *message = phase->messages + (int64_t)2 * slot * N;
      copy(message, start, width);
      copy(message + N, end, width);
      phase->message_widths[slot] = width;
      phase->message_rows[slot] = row + i;
    }
    Int lane = map[step->lane];
    copy(phase->lanes + (int64_t)lane * N, end, width);
    phase->lane_rows[lane] = row + i;
    if (phase->starts) copy(phase->starts + (int64_t)(row + i - phase->first_row) * N, start, width);
  }

  Time last = INT64_MIN;
  if (issue->counts)
    for (Int i = 0; i < template->step_count; i++)
      last = later(last, latest(VALUE(inputs + i), WIDTH(template->steps[i].lane)));

  // Streams afterwards: from another team when its last rank is done. Places of the values come first, because a
  // stream may be passed on in the place of another.
  Int width = WIDTH(0), rows[template->out_count + 1];
  const Wait *out = template->outs;
  for (Int stream = 0; stream < template->out_count; stream++) {
    Time *times = scratch + (int64_t)stream * N;
    Int size = template->out_sizes[stream];
    for (Int r = 0; r < width; r++) times[r] = size ? INT64_MIN : 0;
    rows[stream] = NONE;
    for (Int o = 0; o < size; o++, out++) {
      if (out->lane == NONE) wait_for(times, VALUE(out->value), width);
      else wait_until(times, latest(VALUE(out->value), WIDTH(out->lane)), width);
      if (o == 0) {
        Int passed = out->value - lanes;
        rows[stream] = out->value >= inputs ? row + out->value - inputs
                       : passed >= 0 ? own_stream_rows[passed < there ? passed : there - 1] : NONE;
      }
    }
  }
  for (Int stream = 0; stream < template->out_count; stream++) {
    copy(own_streams + (int64_t)stream * N, scratch + (int64_t)stream * N, width);
    own_stream_rows[stream] = rows[stream];
  }
  phase->stream_counts[issue->streams] = template->out_count;
  return last;
}

static void clear_streams(Phase *phase, Int place) {
  phase->stream_counts[place] = 1;
  for (Int r = 0; r < phase->ranks; r++) phase->streams[(int64_t)place * phase->most_streams * phase->ranks + r] = 0;
  phase->stream_rows[place * phase->most_streams] = NONE;
}

// All copies of the issues in lock step from `head` on, forward or reversed. Row and entry are those of the first copy.
INLINE Time run_group(Phase *phase, const Issue *head, Int row, Int entry, Int reverse, Time floor, Int N, Time makespan) {
  Int members = head->members, steps = 0;
  for (Int m = 0; m < members; m++) steps += phase->templates[head[m].template].step_count;
  Int edge = reverse ? 2 : 1;
  for (Int m = 0; m < members; m++)
    if (head[m].edges & edge) clear_streams(phase, head[m].streams);
  for (Int c = 0; c < head->count; c++) {
    Int number = reverse ? head->count - 1 - c : c;
    Int at = row + number * steps + (reverse ? steps : 0);
    for (Int k = 0; k < members; k++) {
      Int m = reverse ? members - 1 - k : k, own = phase->templates[head[m].template].step_count;
      if (reverse) at -= own;
      Time end = run_copy(phase, &head[m], number, at, entry + number * members + m, reverse,
                          head[m].counts ? floor : 0, N);
      if (!reverse) at += own;
      if (head[m].counts && end > makespan) {
        makespan = end;
        phase->last_issue = (Int)(&head[m] - phase->issues);
      }
    }
  }
  return makespan;
}

// The invocation of a stage that ran last. Its times are relative to `base`, the first of the lanes that it reads: no
// step of it starts earlier, so that all that is ready before counts as ready then.
typedef struct {
  Time size, counts, row, base;
  Time end, issue;     // its last end, and the issue of that from its first on
  Time read, times[];  // `read` lanes and messages that it reads, NONE where there is none; then those that it writes
} Memo;

// Issues [first, last) of one invocation of a stage, and the messages that it receives and sends.
typedef struct {
  Int first, last, lanes, receive, receives, send, sends;
} Invocation;

#define MEMO(place) ((Memo *)(phase->memos + (int64_t)(place) * phase->memo_size))

// The invocation whose first issue to run is `issue`. It ends before it begins where that is in the middle of one, or
// in lock step with others.
static Invocation invocation_at(const Phase *phase, Int issue, Int reverse) {
  const Issue *head = &phase->issues[issue];
  Int direction = reverse ? -1 : 1, stop = reverse ? phase->first - 1 : phase->last;
  Int i = issue, own = 0, peer = 0;
  Invocation found = {.first = 1, .last = 0};
  if (!(head->edges & (reverse ? 2 : 1))) return found;
  for (; i != stop && phase->issues[i].members == 1; i += direction) {
    const Template *template = &phase->templates[phase->issues[i].template];
    if (template->lane_count > found.lanes) found.lanes = template->lane_count;
    own += template->sends * phase->issues[i].count;
    peer += template->receives * phase->issues[i].count;
    if (!(phase->issues[i].edges & (reverse ? 1 : 2))) continue;
    found.first = reverse ? i : issue;
    found.last = (reverse ? issue : i) + 1;
    head = &phase->issues[found.first];
    found.receive = reverse ? head->own : head->peer;
    found.receives = reverse ? own : peer;
    found.send = reverse ? head->peer : head->own;
    found.sends = reverse ? peer : own;
    break;
  }
  return found;
}

// Write the lanes of an invocation and some messages behind `to`, none earlier than `base`. Returns their end.
static Time *relative(const Phase *phase, const Invocation *run, Int slot, Int count, Time base, Time *to) {
  const Int *map = phase->lane_maps + phase->issues[run->first].lanes;
  Int N = phase->ranks;
  for (Int lane = 0; lane < run->lanes; lane++) {
    const Time *from = phase->lanes + (int64_t)map[lane] * N;
    for (Int r = 0; r < phase->widths[map[lane]]; r++) *to++ = from[r] - base;
  }
  for (Int m = slot; m < slot + count; m++) {
    Int width = phase->message_widths[m];
    const Time *message = phase->messages + (int64_t)2 * m * N;
    *to++ = width;
    for (Int r = 0; r < width; r++) *to++ = later(message[r], base) - base;
    for (Int r = 0; r < width; r++) *to++ = later(message[N + r], base) - base;
  }
  return to;
}

// Set lanes and the messages sent to what `relative` has written.
static void restore(Phase *phase, const Invocation *run, Time base, const Time *from) {
  const Int *map = phase->lane_maps + phase->issues[run->first].lanes;
  Int N = phase->ranks;
  for (Int lane = 0; lane < run->lanes; lane++) {
    Time *to = phase->lanes + (int64_t)map[lane] * N;
    for (Int r = 0; r < phase->widths[map[lane]]; r++) to[r] = base + *from++;
  }
  for (Int m = run->send; m < run->send + run->sends; m++) {
    Int width = phase->message_widths[m] = (Int)*from++;
    Time *message = phase->messages + (int64_t)2 * m * N;
    for (Int r = 0; r < width; r++) message[r] = base + *from++;
    for (Int r = 0; r < width; r++) message[N + r] = base + *from++;
  }
}

// Run the issue groups of an invocation; with no ranks, rows alone are passed on and recorded. Returns its last end.
INLINE Time run_each(Phase *phase, const Invocation *run, Int reverse, Time floor, Int N, Time makespan) {
  for (Int n = 0; n < run->last - run->first; n++) {
    Int i = reverse ? run->last - 1 - n : run->first + n;
    makespan = run_group(phase, &phase->issues[i], phase->rows[i], phase->entries[i], reverse, floor, N, makespan);
  }
  return makespan;
}

// Run an invocation, or copy the one before of its stage. Returns its last end, whose issue is `last_issue`.
INLINE Time run_invocation(Phase *phase, const Invocation *run, Int reverse, Time floor, Int N) {
  const Issue *head = &phase->issues[run->first];
  const Int *map = phase->lane_maps + head->lanes;
  Memo *memo = MEMO(head->streams), *own = MEMO(phase->stream_places);
  Time base = INT64_MAX;
  for (Int lane = 0; lane < run->lanes; lane++)
    for (Int r = 0; r < phase->widths[map[lane]]; r++)
      if (phase->lanes[(int64_t)map[lane] * N + r] < base) base = phase->lanes[(int64_t)map[lane] * N + r];
  // Streams begin at 0, and no step that counts starts before the floor.
  if (base < 0 || (head->counts && base < floor)) return run_each(phase, run, reverse, floor, N, INT64_MIN);
  Int row = phase->rows[run->first];
  Time read = relative(phase, run, run->receive, run->receives, base, own->times) - own->times;
  Int is_same = memo->size == head->size && memo->counts == head->counts && memo->read == read;
  for (Time i = 0; is_same && i < read; i++) is_same = memo->times[i] == own->times[i];
  if (!is_same) {
    Time end = run_each(phase, run, reverse, floor, N, INT64_MIN);
    copy(memo->times, own->times, (Int)read);
    relative(phase, run, run->send, run->sends, base, memo->times + read);
    *memo = (Memo){head->size, head->counts, row, base, head->counts ? end - base : 0, phase->last_issue - run->first, read};
    return end;
  }
  phase->copied++;
  run_each(phase, run, reverse, 0, 0, INT64_MAX);
  restore(phase, run, base, memo->times + read);
  if (phase->starts) {
    Int after = run->last - 1, rows = phase->rows[after] - row;
    rows += phase->issues[after].count * phase->templates[phase->issues[after].template].step_count;
    Time *to = phase->starts + (int64_t)(row - phase->first_row) * N;
    const Time *from = phase->starts + (int64_t)(memo->row - phase->first_row) * N;
    for (Int i = 0; i < rows * N; i++) to[i] = from[i] + (base - memo->base);
  }
  phase->last_issue = run->first + (Int)memo->issue;
  return head->counts ? base + memo->end : INT64_MIN;
}

INLINE Time run_issues(Phase *phase, Int first, Int last, Int reverse, Time floor, Int N) {
  Time makespan = INT64_MIN;
  for (Int place = 0; N > 1 && place < phase->stream_places; place++) MEMO(place)->read = NONE;
  for (Int n = 0; n < last - first; n++) {
    Int i = reverse ? last - 1 - n : first + n, before = phase->last_issue;
    if (!phase->issues[i].members) continue;
    Invocation run = {0};
    if (N > 1) run = invocation_at(phase, i, reverse);
    if (run.first < run.last) {
      Time end = run_invocation(phase, &run, reverse, floor, N);
      if (end > makespan) makespan = end;
      else phase->last_issue = before;
      n += run.last - run.first - 1;
    } else {
      makespan = run_group(phase, &phase->issues[i], phase->rows[i], phase->entries[i], reverse, floor, N, makespan);
    }
  }
  return makespan;
}

// Run the issues [first, last): `time` is the last end of those that count, and its issue is `last_issue`.
void run(Phase *phase) {
  Int first = phase->first, last = phase->last, reverse = phase->reverse;
  phase->copied = 0;
  phase->time = phase->ranks == 1 ? run_issues(phase, first, last, reverse, phase->floor, 1)
                                  : run_issues(phase, first, last, reverse, phase->floor, phase->ranks);
}

// One step of one copy, by its row in the record.
typedef struct {
  const Issue *issue;
  const Step *step;
  Int number, first_row, entry;  // of the copy
  Int team, width;
  const Time *starts, *duration;
} Place;

static Place place_of(const Phase *phase, Int row) {
  Int low = 0, high = phase->issue_count - 1;
  while (low < high) {
    Int middle = (low + high + 1) / 2;
    if (phase->rows[middle] <= row) low = middle;
    else high = middle - 1;
  }
  while (!phase->issues[low].members) low--;
  const Issue *head = &phase->issues[low];
  Int steps = 0, m = 0;
  for (Int k = 0; k < head->members; k++) steps += phase->templates[head[k].template].step_count;
  Int rest = (row - phase->rows[low]) % steps;
  Place place = {.number = (row - phase->rows[low]) / steps};
  while (rest >= phase->templates[head[m].template].step_count) rest -= phase->templates[head[m++].template].step_count;
  place.issue = head + m;
  place.step = &phase->templates[head[m].template].steps[rest];
  place.first_row = row - rest;
  place.entry = phase->entries[low] + place.number * head->members + m;
  Int lane = phase->lane_maps[place.issue->lanes + place.step->lane];
  place.team = lane / 2;
  place.width = phase->ranks == 1 ? 1 : phase->widths[lane];
  place.starts = phase->starts + (int64_t)(row - phase->first_row) * phase->ranks;
  Int copy = place.step->row_count > 1 ? place.issue->offset + place.number : 0;
  place.duration = place.step->durations + (int64_t)copy * phase->ranks;
  return place;
}

static inline Time end_of(const Place *place, Int rank) { return place->starts[rank] + place->duration[rank]; }

static Int last_to_start(const Place *place) {
  Int found = 0;
  for (Int r = 1; r < place->width; r++) if (place->starts[r] > place->starts[found]) found = r;
  return found;
}

static Int last_to_end(const Place *place) {
  Int found = 0;
  for (Int r = 1; r < place->width; r++) if (end_of(place, r) > end_of(place, found)) found = r;
  return found;
}

// The rank of a source whose end is the start: of another team its last; else the same rank, or the lowest of its group.
static Int critical_rank(const Place *place, Int rank, const Place *source, Int is_own, Time start) {
  if (!is_own) {
    Int last = last_to_end(source);
    return end_of(source, last) == start ? last : NONE;
  }
  if (end_of(source, rank) == start) return rank;
  const Groups *groups = place->width > 1 ? place->step->groups : 0;
  for (Int g = 0; groups && g < groups->count; g++) {
    const Int *ranks = groups->ranks + g * groups->size;
    Int within = 0, lowest = NONE;
    for (Int i = 0; i < groups->size; i++) {
      if (ranks[i] == rank) within = 1;
      if (end_of(source, ranks[i]) == start && (lowest == NONE || ranks[i] < lowest)) lowest = ranks[i];
    }
    if (within) return lowest;
  }
  return NONE;
}

// The first of some waits that ends when the place starts; its rank goes to `*rank`.
static Int waited_for(const Phase *phase, const Place *place, Int first, Int last, Int *rank) {
  const Template *template = &phase->templates[place->issue->template];
  const Int *sources = phase->sources + (int64_t)(place->entry - phase->first_entry) * phase->most_inputs;
  Int inputs = template->lane_count + template->stream_count;
  for (Int w = first; w < last; w++) {
    Wait wait = place->step->waits[w];
    Int row = wait.value >= inputs ? place->first_row + wait.value - inputs : sources[wait.value];
    if (row == NONE) continue;
    Place source = place_of(phase, row);
    Int is_own = wait.lane == NONE && source.team == place->team;
    Int found = critical_rank(place, *rank, &source, is_own, place->starts[*rank]);
    if (found != NONE) {
      *rank = found;
      return row;
    }
  }
  return NONE;
}

// A send, if it is what its receive waits for, by its start or by its end less the receive's duration.
static Int sent_by(const Phase *phase, const Place *place, Int row, Int is_message, Int *rank) {
  Place send = place_of(phase, row);
  Int own = is_message && send.width == place->width;
  Time start = place->starts[*rank];
  Int first = own ? *rank : last_to_start(&send), last = own ? *rank : last_to_end(&send);
  if (send.starts[first] == start) *rank = first;
  else if (end_of(&send, last) == start + place->duration[*rank]) *rank = last;
  else return NONE;
  return row;
}

// What a place waited for to its last moment: data first, then the message, then its lane and order edges.
static Int critical_predecessor(const Phase *phase, Int row, Int *rank) {
  Place place = place_of(phase, row);
  const Step *step = place.step;
  Int is_plain = !step->link_count && step->receive == NONE;
  Int data = is_plain ? step->wait_count : step->data_count;
  Int found = waited_for(phase, &place, 0, data, rank);
  if (found != NONE || is_plain) return found;
  const Template *template = &phase->templates[place.issue->template];
  for (Int l = 0; l < step->link_count && found == NONE; l++)
    found = sent_by(phase, &place, place.first_row + step->links[l], 0, rank);
  if (found == NONE && step->receive != NONE) {
    Int input = template->lane_count + template->stream_count + step->receive;
    Int send = phase->sources[(int64_t)(place.entry - phase->first_entry) * phase->most_inputs + input];
    if (send != NONE) found = sent_by(phase, &place, send, 1, rank);
  }
  return found != NONE ? found : waited_for(phase, &place, data, step->wait_count, rank);
}

// The critical path back from `row` and `rank`: `count` places of it, `most` at a time; the last is where to go on.
void walk_back(Phase *phase) {
  Int row = phase->row, rank = phase->rank, count = 0;
  while (row != NONE && count < phase->most) {
    Place place = place_of(phase, row);
    phase->path[count++] = (Passed){row, rank, place.team, 0, place.starts[rank], end_of(&place, rank)};
    row = critical_predecessor(phase, row, &rank);
  }
  phase->count = count;
}

// The steps of a rank on one lane, in the order in which they run, over the older period and the newer one.
typedef struct {
  const Phase *phase;
  Int lane, rank;
  Int issue, head, number, step, row, is_newer;
  Time begin, end;
} Cursor;

static Int advance(Cursor *cursor) {
  const Phase *phase = cursor->phase;
  while (1) {
    if (cursor->issue == phase->issue_count) {
      if (cursor->is_newer) return 0;
      cursor->issue = cursor->head = cursor->number = cursor->step = 0;
      cursor->is_newer = 1;
      cursor->row = phase->newer;
      continue;
    }
    const Issue *issue = &phase->issues[cursor->issue], *head = &phase->issues[cursor->head];
    const Template *template = &phase->templates[issue->template];
    if (cursor->step == template->step_count) {
      cursor->step = 0;
      if (++cursor->issue == cursor->head + head->members) {
        if (++cursor->number == head->count) {
          cursor->head = cursor->issue;
          cursor->number = 0;
        } else {
          cursor->issue = cursor->head;
        }
      }
      continue;
    }
    const Step *step = &template->steps[cursor->step++];
    const Time *starts = phase->starts + (int64_t)cursor->row++ * phase->ranks;
    if (phase->lane_maps[issue->lanes + step->lane] != cursor->lane) continue;
    Int copy = step->row_count > 1 ? issue->offset + cursor->number : 0;
    cursor->begin = starts[cursor->rank];
    cursor->end = cursor->begin + step->durations[(int64_t)copy * phase->ranks + cursor->rank];
    return 1;
  }
}

// The time in which both lanes of `rank` are busy, one of them in the newer period.
void overlap(Phase *phase) {
  Int is_only = phase->older == NONE, row = is_only ? phase->newer : phase->older;
  Cursor lanes[2];
  for (Int l = 0; l < 2; l++)
    lanes[l] = (Cursor){
        .phase = phase, .lane = 2 * phase->team + l, .rank = phase->rank, .row = row, .is_newer = is_only};
  Time found = 0;
  Int more = advance(&lanes[0]) && advance(&lanes[1]);
  while (more) {
    Time begin = later(lanes[0].begin, lanes[1].begin);
    Time end = lanes[0].end < lanes[1].end ? lanes[0].end : lanes[1].end;
    Int counts = lanes[0].is_newer || lanes[1].is_newer;
    if (end > begin && counts) found += end - begin;
    more = advance(&lanes[lanes[0].end < lanes[1].end ? 0 : 1]);
  }
  phase->time = found;
}
