import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { modelOf, stateOf } from '../../../scripts/experiments/cell.js'
import { temporaryFolder } from '../../helpers/temporary.js'

describe('a repeated stage', () => {
  it('is new without a run, unfinished without a good end, and done only with a completed exit record', async () => {
    const run = join(temporaryFolder(), 'realOnly')
    expect(await stateOf(run)).toBe('new')
    await mkdir(run)
    expect(await stateOf(run)).toBe('new')
    await writeFile(join(run, 'config.resolved.yaml'), 'job: segmentation\n')
    expect(await stateOf(run)).toBe('unfinished')
    await writeFile(join(run, 'exit.json'), JSON.stringify({ outcome: 'stopped', step: 10 }))
    expect(await stateOf(run)).toBe('unfinished')
    await writeFile(join(run, 'exit.json'), JSON.stringify({ outcome: 'completed', step: 700 }))
    expect(await stateOf(run)).toBe('completed')
  })

  it('gives the weights of its newest checkpoint', async () => {
    const run = temporaryFolder()
    await mkdir(join(run, 'checkpoints'))
    await writeFile(join(run, 'checkpoints', 'latest'), 'step_00000700')
    expect(await modelOf(run)).toBe(join(run, 'checkpoints', 'step_00000700', 'model.pt'))
  })
})
