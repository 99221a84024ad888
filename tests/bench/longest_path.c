/* Earliest ends of the rows of an expanded graph, in topological order; the largest of them is returned. */
#include <stdint.h>

int64_t longest_path(int64_t rows, const int64_t *first_edge, const int32_t *sources, const int64_t *duration,
                     int64_t *end)
{
    int64_t makespan = 0;
    for (int64_t row = 0; row < rows; row++) {
        int64_t ready = 0;
        for (int64_t edge = first_edge[row]; edge < first_edge[row + 1]; edge++) {
            int64_t before = end[sources[edge]];
            ready = before > ready ? before : ready;
        }
        end[row] = ready + duration[row];
        makespan = end[row] > makespan ? end[row] : makespan;
    }
    return makespan;
}
