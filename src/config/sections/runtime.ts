import { z } from 'zod'
import { key } from '../key.js'
import { OURS, published } from '../sources.js'
import { count, type DeepReadonly, natural, nonEmptyText, positive } from '../types.js'

export const runtimeSection = z.strictObject({
  nodes: key(
    count,
    'Number of machines that train together.',
    'Start `freetumor train --node-rank R` on each of them.',
    { unit: 'nodes', default: 1, source: OURS },
  ),
  processesPerNode: key(
    count,
    'Number of ranks on each node, one per GPU.',
    'The items stay the same; losses may differ in their last bits.',
    { unit: 'processes', default: 1, source: published('segmentation') },
  ),
  device: key(
    z.enum(['auto', 'cpu', 'cuda']),
    'Device of the networks; `auto` uses CUDA if it is available.',
    'A CPU is much slower.',
    { default: 'auto', source: OURS },
  ),
  python: key(
    nonEmptyText.nullable(),
    'Python executable that runs the networks, as a path or a command name.',
    'With null, `FREETUMOR_PYTHON` or the environment of `freetumor setup` is used.',
    { default: null, path: 'program', source: OURS },
  ),
  precision: key(
    z.enum(['fp32', 'bf16', 'fp16']),
    'Number format of the networks; painting, losses and optimizers keep 32 or 64 bits.',
    'Half precision is faster on GPUs; `fp16` scales losses and skips steps that overflow.',
    { default: 'fp32', source: `${OURS}, docs/published-constants.md#keys` },
  ),
  reproducible: key(
    z.boolean(),
    'Give bit-identical losses and weights on any number of CPU ranks.',
    'It computes one item at a time, so it is slower; `freetumor plan` measures the cost.',
    { default: false, source: OURS },
  ),
  compile: key(
    z.boolean(),
    'Compile the networks with `torch.compile`.',
    'Steps get faster after a slow start; it needs a C++ compiler, and Triton on CUDA.',
    { default: false, source: OURS },
  ),
  memoryFormat: key(
    z.enum(['auto', 'contiguous', 'channelsLast']),
    'Memory layout of weights and features; `auto` is the layout that was measured to be faster.',
    'Another layout changes the speed and the last bits.',
    { default: 'auto', source: OURS },
  ),
  threadsPerProcess: key(
    z.union([count, z.literal('auto')]),
    'Number of CPU threads of each rank; `auto` shares the usable processors of the node among its ranks.',
    'Another number changes the last bits of the losses.',
    { unit: 'threads', default: 1, source: OURS },
  ),
  restarts: key(
    z.strictObject({
      max: key(
        natural,
        'Number of restarts in a row without a new checkpoint; 0 never restarts.',
        'A new checkpoint resets the count.',
        { unit: 'restarts', default: 3, source: OURS },
      ),
      backoffSeconds: key(
        z.number().min(0),
        'Pause before the first restart; it doubles with each restart, up to 60 s.',
        'Longer pauses give a busy machine time to recover.',
        { unit: 's', default: 5, source: OURS },
      ),
    }),
    'Restart policy after a recoverable failure.',
    'The job restarts from its newest checkpoint.',
    { source: OURS },
  ),
  hangSeconds: key(
    positive.nullable(),
    'Time without a step, a validated case or a checkpoint that ends a job as hung; null never does.',
    'A hung job is restarted like a failed one.',
    { unit: 's', default: 1800, source: OURS },
  ),
})

/** Processes, device, precision and restarts. */
export type RuntimeSection = DeepReadonly<z.infer<typeof runtimeSection>>
