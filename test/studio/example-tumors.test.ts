import { appendFileSync, mkdirSync, renameSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { loadConfig, recordConfig } from '../../src/config/load.js'
import type { ExampleTumors, RunList } from '../../src/studio/messages.js'
import { temporaryFolder } from '../helpers/temporary.js'
import { examplePicture, REJECTED, writeExamples, writePicture } from './example-pictures.js'
import { serve, type TestServer, writeRun } from './runs.js'

const SECRET = 'the text of a file outside'

/** Serve a run; `read` returns its example tumors. */
async function servedRun(): Promise<{
  readonly run: string
  readonly server: TestServer
  readonly id: string
  readonly read: () => Promise<ExampleTumors>
}> {
  const run = join(temporaryFolder(), 'runs', 'first')
  await writeRun(run)
  const server = await serve(join(run, '..'))
  const { id } = ((await (await server.get('/api/runs')).json()) as RunList).runs[0]!
  const read = async (): Promise<ExampleTumors> => {
    const answer = await server.get(`/api/runs/${id}/example-tumors`)
    expect(answer.status).toBe(200)
    return (await answer.json()) as ExampleTumors
  }
  return { run, server, id, read }
}

describe('the example tumors of a run', () => {
  test('are accepted and rejected ones with the deciding measure, and real ones next to synthetic ones', async () => {
    const { run, read } = await servedRun()
    writeExamples(run)
    const { organs, problems } = await read()
    expect(problems).toEqual([])
    expect(organs.map(({ organ }) => organ)).toEqual(['liver'])
    const { accepted, rejected, unjudged, pairs } = organs[0]!
    expect(accepted.map(({ title, facts }) => [title, facts])).toEqual([
      [
        'small liver tumor, 12 mm',
        ['detected fraction 90.0 %, threshold 50 %', 'step 5', 'window −175 to 250 HU'],
      ],
    ])
    expect(rejected.map(({ facts }) => facts[0])).toEqual(['detected fraction 20.0 %, threshold 50 %'])
    expect(unjudged).toEqual([])
    expect(accepted[0]!.views.map(({ title }) => title)).toEqual(['host', 'synthetic', 'difference', 'mask'])
    expect(pairs.map(({ facts }) => facts)).toEqual([['real: 13 mm, step 3', 'synthetic: 12 mm, step 5']])
    expect(pairs[0]!.views.map(({ title }) => title)).toEqual(['real', 'synthetic'])
  })

  test('have the pixels of the files, and the difference doubled around mid-grey', async () => {
    const { run, read } = await servedRun()
    writeExamples(run)
    const [host, synthetic, difference, mask] = (await read()).organs[0]!.accepted[0]!.views
    const pixel = (base64: string, at: number): number => Buffer.from(base64, 'base64')[at]!
    const [middle, corner] = [24 * 48 + 24, 0]
    expect([host!, synthetic!, difference!].map(({ gray }) => pixel(gray, middle))).toEqual([90, 140, 228])
    expect([host!, synthetic!, difference!].map(({ gray }) => pixel(gray, corner))).toEqual([90, 90, 128])
    expect([pixel(mask!.outline!, middle), pixel(mask!.outline!, corner)]).toEqual([1, 0])
    expect(mask).toMatchObject({ width: 48, height: 48, pixelMm: [1.5, 1.5], sides: ['R', 'L', 'A', 'P'] })
    expect(mask!.barMm).toBe(20)
  })

  test('have no verdict in a synthesis training, and need no ledger', async () => {
    const { run, read } = await servedRun()
    const picture = examplePicture({ verdict: 'recorded', shareSeen: null })
    writePicture(run, 'tumor_00000004_8_0_liver_small_recorded', picture)
    const { accepted, rejected, unjudged } = (await read()).organs[0]!
    expect([accepted, rejected]).toEqual([[], []])
    expect(unjudged.map(({ facts }) => facts[0])).toEqual(['no baseline'])
  })

  test('name the detected fraction if the ledger is damaged', async () => {
    const { run, read } = await servedRun()
    writeExamples(run)
    const hostile = { step: 4, item: 8, crop: 0, verdict: 'accepted', reason: 'constructor', measures: null }
    writeFileSync(join(run, 'ledger.jsonl'), `null\n[]\n{"step":\n${JSON.stringify(hostile)}\n`)
    const { organs, problems } = await read()
    expect(organs[0]!.accepted[0]!.facts[0]).toBe('baseline detects 90 %')
    expect(problems).toEqual([])
  })

  test('are advised for if there are none', async () => {
    const { run, read } = await servedRun()
    expect(await read()).toEqual({
      organs: [],
      advice: expect.stringMatching(/^They appear here when the training paints its first tumors\./),
      problems: [],
    })
    const adviceWith = async (name: string, ...set: string[]): Promise<string> => {
      writeFileSync(join(run, 'config.resolved.yaml'), recordConfig(await loadConfig(name, { set })))
      return (await read()).advice
    }
    expect(await adviceWith('debug-segmentation', 'report.pictures=0')).toMatch(/report\.pictures above 0/)
    expect(await adviceWith('debug-baseline')).toMatch(/baseline paints no tumors/)
  })

  test('need the token, and a run of the list', async () => {
    const { server, id } = await servedRun()
    const bare = await fetch(new URL(`/api/runs/${id}/example-tumors`, server.url))
    expect(bare.status).toBe(401)
    for (const path of ['0000000000000000', '..%2F..', '%2Fetc'])
      expect((await server.get(`/api/runs/${path}/example-tumors`)).status).toBe(404)
  })
})

describe('pictures of a stranger', () => {
  test.each([
    ['not JSON', '{', /is not JSON/],
    ['too large', ' '.repeat(300_000), /too large \(expected at most 262144 bytes/],
    [
      'of a huge plane',
      JSON.stringify(examplePicture({ planes: [{ name: 'axial', width: 1e9, height: 1e9 }] })),
      /width and height: wrong value/,
    ],
  ])('are a problem if they are %s; the others are shown', async (_, text, expected) => {
    const { run, read } = await servedRun()
    writeExamples(run)
    writeFileSync(join(run, 'pictures/tumor_00000009_1_0_liver_tiny_accepted.json'), text)
    const { organs, problems } = await read()
    expect(problems).toEqual([expect.stringMatching(expected)])
    expect(organs[0]!.accepted).toHaveLength(1)
  })

  test('that lead out of the folder are not read', async () => {
    const { run, read } = await servedRun()
    writeExamples(run)
    const outside = join(run, '../../outside.json')
    writeFileSync(outside, JSON.stringify(examplePicture({ ...REJECTED, organ: SECRET })))
    symlinkSync(outside, join(run, 'pictures/tumor_00000009_1_0_liver_tiny_rejected.json'))
    const { organs, problems } = await read()
    expect(problems).toEqual([expect.stringContaining('leads out of')])
    expect(JSON.stringify(organs)).not.toContain(SECRET)
  })

  test('in a folder that leads out are not read', async () => {
    const { run, read } = await servedRun()
    writeExamples(run)
    renameSync(join(run, 'pictures'), join(run, '../../pictures'))
    symlinkSync(join(run, '../../pictures'), join(run, 'pictures'))
    expect(await read()).toMatchObject({ organs: [], problems: [expect.stringContaining('leads out of')] })
  })

  test('are read up to a number of files', async () => {
    const { run, read } = await servedRun()
    for (let step = 0; step <= 300; step++)
      writePicture(run, `tumor_${String(step).padStart(8, '0')}_0_0_liver_tiny_accepted`, {})
    const { problems } = await read()
    expect(problems[0]).toBe('Only the first 300 of 301 pictures are read.')
  })

  test('are ignored under other names, such as a folder', async () => {
    const { run, read } = await servedRun()
    writeExamples(run)
    writePicture(run, 'other', { organ: SECRET })
    mkdirSync(join(run, 'pictures/notes'))
    appendFileSync(join(run, 'pictures/tumor_.txt'), SECRET)
    expect(JSON.stringify(await read())).not.toContain(SECRET)
  })
})
