import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { relative, resolve } from 'node:path'
import { type Arm, type Plan, POLICY_ARMS } from './plan.js'

/** Plan of quality-policy without its seeds, which derive from the commit of the plan. */
export interface PolicyPlan extends Omit<Plan, 'seeds' | 'testSeed' | 'arms'> {
  readonly arms: readonly Arm[]
  /** Number of seeds; each has its own trainings, phantoms, and held-out cases. */
  readonly numSeeds: number
  /** Held-out cases that calibrate the thresholds and fit the operating points. They are part of `test`. */
  readonly validation: { readonly sick: number; readonly healthy: number }
  /** Operating point: at most this many false positives per healthy validation case. */
  readonly falsePositivesPerScan: number
  /** Calibrated must not lose more Dice than this against all kept. */
  readonly margin: number
}

/** A cell costs about 330 processor seconds on one core: half the voxels of few-labels' crops, and smaller phantoms. */
export const POLICY_PLAN: PolicyPlan = {
  numSeeds: 10,
  labelled: [2, 4, 8],
  arms: POLICY_ARMS,
  hosts: 12,
  validation: { sick: 16, healthy: 16 },
  test: { sick: 40, healthy: 40 },
  steps: { start: 700, generator: 60, arm: 400 },
  discriminatorSteps: 0,
  sides: { phantom: 56, crop: 32 },
  falsePositivesPerScan: 1,
  margin: 0.02,
}

/** Seeds of the pilot and of development; a frozen plan never has them. */
export const PILOT_SEEDS: readonly number[] = [71, 72, 73, 74, 75, 76, 77, 78]

/** Seeds below this are those of development. */
const FIRST_SEED = 1000

/** A plan whose file is committed, with the seeds of that commit. */
export interface FrozenPlan<P = PolicyPlan> {
  readonly plan: P
  readonly commit: string
  readonly seeds: readonly number[]
}

/**
 * Return seeds that the commit decides, not a person: numbers of the SHA-256 of a commit id, all different, at least 1000 and even, because
 * seed + 1 draws the held-out cases.
 */
export function seedsOf(commit: string, count: number): number[] {
  const seeds: number[] = []
  for (let number = 0; seeds.length < count; number++) {
    const hash = createHash('sha256').update(`${commit} ${number}`).digest()
    const seed = FIRST_SEED + 2 * (hash.readUInt32BE(0) % 1_000_000_000)
    if (!seeds.includes(seed)) seeds.push(seed)
  }
  return seeds
}

/**
 * Read a frozen plan and the commit that froze it.
 * @throws Error if the file is not committed, or has changed since
 */
export async function readFrozen<P extends { readonly numSeeds: number } = PolicyPlan>(
  file: string,
  root = process.cwd(),
): Promise<FrozenPlan<P>> {
  const git = (...args: string[]): string =>
    execFileSync('git', ['-C', root, ...args], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim()
  const path = relative(root, resolve(file))
  const commit = git('log', '-1', '--format=%H', '--', path)
  if (commit === '') throw new Error(`${path}: not committed (commit the frozen plan first)`)
  if (git('status', '--porcelain', '--', path) !== '')
    throw new Error(`${path}: changed since its commit (undo the change, or commit another plan)`)
  const plan = JSON.parse(await readFile(file, 'utf8')) as P
  return { plan, commit, seeds: seedsOf(commit, plan.numSeeds) }
}
