import { cpSync, existsSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { loadConfig } from '../../../src/config/load.js'
import { resolveConfig } from '../../../src/config/resolve.js'
import type { RunConfig } from '../../../src/config/schema.js'
import { ensurePhantoms } from '../../../src/phantom/dataset.js'
import type { PreparedCase } from '../../../src/pipeline/ports/cases.js'
import type { ModelRuntime } from '../../../src/pipeline/ports/runtime.js'
import { type InMemoryAnswers, inMemoryRuntime } from '../../../src/runtime/in-memory.js'
import { packageRoot } from '../../../src/runtime/python.js'
import type { JobKind } from '../../../src/training/events.js'
import type { Vec3 } from '../../../src/volume/volume.js'
import { checkpointFacts, generatorFacts, segmentorFacts } from '../../helpers/checkpoint-facts.js'
import { keptFolder } from '../../helpers/temporary.js'
import {
  type CaseVoxels,
  contentOf,
  makeVoxels,
  writePreparedCase,
} from '../../sampling/prepared-case-files.js'

const SHAPE: Vec3 = [48, 48, 48]
const PHANTOMS = {
  labelledCases: 2,
  validationCases: 1,
  hostCases: 2,
  testCases: 0,
  sizeVoxels: 32,
  seed: 1,
}

/** Phantoms and prepared cases, which a test file makes once: each test has a copy, which it may damage. */
const common = keptFolder()
const balls = new Map<string, PreparedCase>()

/** A debug configuration on the smallest phantoms, in a folder of its own; nothing of it needs Python. */
export async function memoryConfig(
  job: JobKind,
  folder: string,
  change: {
    readonly training?: Partial<RunConfig['training']>
    readonly runtime?: Partial<RunConfig['runtime']>
    readonly quality?: Partial<RunConfig['quality']>
    readonly ranks?: number
  } = {},
): Promise<RunConfig> {
  const debug = await loadConfig(join(packageRoot, `configs/debug-${job}.yaml`))
  const { networks } = debug
  const root = join(folder, 'data')
  await ensurePhantoms(join(common, debug.region), debug.region, PHANTOMS)
  if (!existsSync(root)) cpSync(join(common, debug.region), root, { recursive: true })
  return resolveConfig({
    ...debug,
    data: { ...debug.data, root, phantoms: PHANTOMS },
    // one worker needs no thread, whose start takes longer than its work on such phantoms
    prepare: { ...debug.prepare, cache: join(folder, 'cache'), workers: 1 },
    sampling: { ...debug.sampling, workers: 0 },
    networks: {
      ...networks,
      baseline: networks.baseline && { ...networks.baseline, ...given(folder, 'baseline.pt') },
      generator: networks.generator && { ...networks.generator, ...given(folder, 'generator.pt') },
    },
    training: { ...debug.training, steps: 6, ...change.training },
    quality: { ...debug.quality, ...change.quality },
    runtime: { ...debug.runtime, processesPerNode: change.ranks ?? 1, ...change.runtime },
  })
}

/** Weights that exist, whatever is in them: only `inspect` looks. */
function given(folder: string, name: string) {
  const checkpoint = join(folder, name)
  writeFileSync(checkpoint, name)
  return { checkpoint, trainFrom: null }
}

/** The in-memory runtime whose prepared cases are a ball of liver each, with as much noise as to tell them apart. */
export function memoryRuntime(answers: InMemoryAnswers = {}): ModelRuntime {
  return inMemoryRuntime({
    prepare: (one, spec) => ({ caseId: one.id, result: ballOfLiver(one.id, spec.directory) }),
    inspect: (path) =>
      checkpointFacts([path.endsWith('generator.pt') ? generatorFacts(3) : segmentorFacts(7)]),
    ...answers,
  })
}

function ballOfLiver(caseId: string, directory: string): PreparedCase {
  const made = balls.get(caseId) ?? makeBall(caseId)
  balls.set(caseId, made)
  const path = join(directory, basename(made.path))
  cpSync(made.path, path, { recursive: true })
  return { ...made, path }
}

function makeBall(caseId: string): PreparedCase {
  const brightness = [...caseId].reduce((sum, letter) => sum + letter.charCodeAt(0), 0) % 50
  const voxels = makeVoxels(SHAPE, (x, y, z) => {
    const inside = (x - 24) ** 2 + (y - 24) ** 2 + (z - 24) ** 2 < 20 ** 2
    return [40 + brightness + ((x * 7 + y * 5 + z * 3) % 11), inside ? 1 : 0]
  })
  return preparedCase(caseId, join(common, 'prepared'), voxels)
}

/** Writes a prepared case of the abdomen, and returns what the runtime reports of it. */
export function preparedCase(caseId: string, directory: string, voxels: CaseVoxels): PreparedCase {
  const path = writePreparedCase(directory, caseId, voxels, 7, [-175, 250])
  const labelVoxels = [0, 0, 0, 0, 0, 0, 0]
  for (const id of voxels.label) labelVoxels[id]!++
  return {
    path,
    shape: voxels.shape,
    labelVoxels,
    contentSha256: contentOf(voxels),
    bytes: voxels.label.length * 3,
    seconds: 0,
    reused: false,
  }
}
