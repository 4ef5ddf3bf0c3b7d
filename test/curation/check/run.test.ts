import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { checkCases } from '../../../src/curation/check/run.js'
import { collectCases } from '../../../src/curation/datasets/import.js'
import { ensurePhantoms } from '../../../src/phantom/dataset.js'
import { madeCase, madeImage, madeLabel } from '../../helpers/made-cases.js'
import { temporaryFolder } from '../../helpers/temporary.js'

const OPTIONS = { prepared: null, maxBytes: null, workers: 1 } as const

describe('checkCases', () => {
  it('reports in the order of the cases, counts missing files as errors, and reports progress', async () => {
    const root = temporaryFolder()
    const bad = await madeCase(
      join(root, 'bad'),
      madeImage((hu) => hu + 1024),
      madeLabel(),
      { id: 'Made/bad', patient: 'bad' },
    )
    const good = await madeCase(join(root, 'good'), madeImage(), madeLabel())
    const seen: number[] = []
    const missing = [{ dataset: 'Made', count: 3, example: '/gone.nii.gz' }]
    const report = await checkCases([bad, good], missing, {
      ...OPTIONS,
      onCase: (done, total) => seen.push(done / total),
    })
    expect(report).toMatchObject({ ok: false, numCases: 2 })
    expect(report.findings.map(({ rule, severity }) => `${rule}:${severity}`)).toEqual([
      'missing-files:error',
      'rescale-lost:error',
    ])
    expect(seen).toEqual([0.5, 1])
    expect((await checkCases([good], [], OPTIONS)).ok).toBe(true)
  })

  it('finds the same with threads, and stops them on request', async () => {
    const root = temporaryFolder()
    const cases = await Promise.all(
      ['a', 'b', 'c'].map((name) =>
        madeCase(
          join(root, name),
          madeImage((hu) => (name === 'b' ? hu + 1024 : hu)),
          madeLabel((_i, _j, _k, id) => (name === 'c' ? 0 : id)),
          { id: `Made/${name}`, patient: name },
        ),
      ),
    )
    const inThreads = await checkCases(cases, [], { ...OPTIONS, workers: 2 })
    expect(inThreads).toEqual(await checkCases(cases, [], OPTIONS))
    expect(inThreads.findings.map(({ rule }) => rule)).toEqual(['rescale-lost', 'no-organ'])
    const stop = new AbortController()
    const onCase = () => stop.abort()
    await expect(
      checkCases(cases, [], { ...OPTIONS, workers: 2, signal: stop.signal, onCase }),
    ).rejects.toMatchObject({ name: 'AbortError' })
  })

  it('stops on request', async () => {
    const good = await madeCase(temporaryFolder(), madeImage(), madeLabel())
    await expect(checkCases([good], [], { ...OPTIONS, signal: AbortSignal.abort() })).rejects.toThrow()
  })

  it('finds no error in phantoms', async () => {
    const root = temporaryFolder()
    const asked = {
      labelledCases: 1,
      validationCases: 0,
      hostCases: 1,
      testCases: 0,
      sizeVoxels: 48,
      seed: 3,
    }
    for (const region of ['abdomen', 'chest'] as const) {
      const folder = join(root, region)
      await ensurePhantoms(folder, region, asked)
      for (const name of ['phantom_labelled', 'phantom_hosts']) {
        const { cases, missing } = await collectCases(join(folder, name), { root: folder })
        const report = await checkCases(cases, missing, OPTIONS)
        expect(report.findings.filter(({ severity }) => severity === 'error')).toEqual([])
      }
    }
  })
})
