import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { PILOT_SEEDS, POLICY_PLAN, readFrozen, seedsOf } from '../../../scripts/experiments/policy-plan.js'
import { temporaryFolder } from '../../helpers/temporary.js'

describe('the seeds of a frozen plan', () => {
  it('are different even numbers that only the commit decides, and none of the pilot', () => {
    const seeds = seedsOf('a'.repeat(40), 30)
    expect(seedsOf('a'.repeat(40), 30)).toEqual(seeds)
    expect(seedsOf('b'.repeat(40), 30).some((seed) => seeds.includes(seed))).toBe(false)
    expect(new Set(seeds).size).toBe(30)
    expect(seeds.every((seed) => seed % 2 === 0 && !PILOT_SEEDS.includes(seed))).toBe(true)
  })

  it('are read with the plan of the last commit of its file, which must be unchanged', async () => {
    const root = temporaryFolder()
    const git = (...args: readonly string[]): string =>
      execFileSync('git', ['-C', root, '-c', 'user.name=a', '-c', 'user.email=a@b', ...args], {
        encoding: 'utf8',
      })
    git('init', '-q')
    git('commit', '-q', '--allow-empty', '-m', 'Begin')
    const file = join(root, 'plan.json')
    writeFileSync(file, JSON.stringify(POLICY_PLAN))
    await expect(readFrozen(file, root)).rejects.toThrow('plan.json: not committed')
    git('add', '.')
    git('commit', '-qm', 'Freeze the plan')
    const commit = git('rev-parse', 'HEAD').trim()
    expect(await readFrozen(file, root)).toEqual({
      plan: POLICY_PLAN,
      commit,
      seeds: seedsOf(commit, POLICY_PLAN.numSeeds),
    })
    writeFileSync(file, JSON.stringify({ ...POLICY_PLAN, margin: 0.5 }))
    await expect(readFrozen(file, root)).rejects.toThrow('changed since its commit')
  })
})
