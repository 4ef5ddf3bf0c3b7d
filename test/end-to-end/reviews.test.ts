import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { SynthesisLine } from '../../src/quality/ledger.js'
import { appendReview, type ReviewLine } from '../../src/quality/reviews.js'
import { readNifti } from '../../src/volume/nifti.js'
import { runCli } from '../helpers/cli.js'
import { temporaryFolder } from '../helpers/temporary.js'

const linesOf = (out: string): SynthesisLine[] =>
  readFileSync(join(out, 'ledger.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))

async function review(out: string, line: SynthesisLine, decision: ReviewLine['decision']): Promise<void> {
  await appendReview(join(out, 'reviews.jsonl'), {
    time: '2026-01-02T03:04:05Z',
    reviewer: 'Ada',
    case: line.case,
    variant: line.variant,
    tumor: line.tumor,
    sha256: line.sha256!,
    decision,
    reason: null,
    seconds: 1,
    version: '0.1.0',
  })
}

const TRAINING = `
job: baseline
name: reviewed
region: abdomen
data: { manifest: a/manifest.json, datasets: [{ name: synthetic }] }
prepare: { cache: cache, workers: 1 }
sampling: { patchVoxels: [32, 32, 32], workers: 1, cropsPerVolume: 1, itemsPerStep: 1, mixing: false }
networks: { segmentor: { kind: small, featureSize: 8, levels: 2 } }
training: { steps: 1, warmupSteps: 0 }
evaluation: { overlap: 0.25 }
runtime: { device: cpu }
quality: { reviews: a }
`

describe('reviews of synthetic phantoms', () => {
  it('override the rule in the next synthesis, and drop tumors from a training', async () => {
    const folder = temporaryFolder()
    await runCli(['phantom', '--out', 'hosts', '--cases', '2', '--size', '48', '--seed', '5'], {
      cwd: folder,
    })
    const flags = ['--images', 'hosts/imagesTr', '--labels', 'hosts/labelsTr', '--region', 'abdomen']
    const kind = ['--organs', 'liver', '--tumors', '2', '--keep-rejected', '2']
    const rule = 'quality.rules.volumeMl.max=2'
    const textures = ['simulation.texture.sizeVoxels=[112,112,112]', 'simulation.texture.count=2']
    const synthesize = (...more: string[]) =>
      runCli(['synthesize', ...flags, ...kind, ...more, '--output', 'json', '--set', rule, ...textures], {
        cwd: folder,
      })
    const [a, b] = [join(folder, 'a'), join(folder, 'b')]
    const first = await synthesize('--out', 'a')
    expect(first.code, first.stderr).toBe(0)

    // a rejected tumor that was kept is a whole scan with this tumor alone
    const rejected = linesOf(a).find(({ rejectedFile }) => rejectedFile !== undefined)!
    const [host, alone, numbers, change] = await Promise.all(
      [
        join(folder, 'hosts/imagesTr', `${rejected.case}.nii.gz`),
        ...['imagesTr', 'tumorsTr', 'changeTr'].map((name) =>
          join(a, 'rejected', name, rejected.rejectedFile!),
        ),
      ].map((file) => readNifti(file)),
    )
    expect(alone!.affine).toEqual(host!.affine)
    expect(new Set(numbers!.data)).toEqual(new Set([0, rejected.tumor + 1]))
    let changed = 0
    for (let at = 0; at < host!.data.length; at++) {
      if (alone!.data[at] !== host!.data[at]) changed++
      if (alone!.data[at] !== host!.data[at] && change!.data[at] !== 1) throw new Error(`voxel ${at}`)
    }
    expect(changed).toBeGreaterThan(0)
    // every accepted tumor has its number, where the label map has the tumor
    const scan = linesOf(a)
      .filter(({ file }) => file !== undefined)
      .at(-1)!
    const tumorsOfScan = linesOf(a)
      .filter(({ file }) => file === scan.file)
      .map(({ tumor }) => tumor)
    const [label, map] = await Promise.all(
      ['labelsTr', 'tumorsTr'].map((name) => readNifti(join(a, name, scan.file!))),
    )
    expect([...new Set(map!.data)].sort()).toEqual([0, ...tumorsOfScan.map((tumor) => tumor + 1)])
    for (let at = 0; at < map!.data.length; at++)
      if (map!.data[at] !== 0 && label!.data[at] !== 2)
        throw new Error(`voxel ${at} of a tumor has another label`)

    await review(a, rejected, 'accept')
    await review(a, scan, 'reject')
    const second = await synthesize('--out', 'b', '--reviews', 'a')
    expect(second.code, second.stderr).toBe(0)
    expect(JSON.parse(second.stdout).reviews).toMatchObject({ kept: 1, dropped: 1, stale: 0 })
    const find = ({ case: id, variant, tumor, attempt }: SynthesisLine) =>
      linesOf(b).find(
        (one) =>
          JSON.stringify([one.case, one.variant, one.tumor, one.attempt]) ===
          JSON.stringify([id, variant, tumor, attempt]),
      )
    expect(find(rejected)).toMatchObject({ verdict: 'accepted', reason: 'review', plan: rejected.plan })
    expect(find(scan)).toMatchObject({ verdict: 'rejected', reason: 'review' })

    writeFileSync(join(folder, 'train.yaml'), TRAINING)
    const trained = await runCli(['train', '--config', 'train.yaml', '--out', 'run', '--output', 'json'], {
      cwd: folder,
    })
    expect(trained.code, trained.stderr).toBe(0)
    expect(trained.stderr).toContain('reviews: 0 kept against the rule, 1 dropped')
    const used = JSON.parse(readFileSync(join(folder, 'run/reviews.json'), 'utf8'))
    expect(used).toMatchObject({ dropped: 1, unused: 1, stale: 0, changedScans: 1 })
    expect(readFileSync(join(folder, 'run/report.html'), 'utf8')).toContain('dropped against the rule')

    await review(a, scan, 'undo')
    const resumed = await runCli(['train', '--resume', 'run', '--set', 'training.steps=2'], { cwd: folder })
    expect(resumed.code).toBe(3)
    expect(resumed.stderr).toContain('cannot resume, because its data have changed (the review file')
    const again = await synthesize('--out', 'b', '--reviews', 'a')
    expect(again.code).toBe(2)
    expect(again.stderr).toContain('holds a synthesis with other settings (reviews)')
  })
})
