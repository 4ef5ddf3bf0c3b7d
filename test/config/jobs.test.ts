import { expect, it } from 'vitest'
import { paintsTumors } from '../../src/config/jobs.js'
import { loadConfig } from '../../src/config/load.js'

it.each([
  ['debug-baseline', false],
  ['debug-synthesis', true],
  ['debug-segmentation', true],
])('%s paints tumors: %s', async (name, paints) => {
  expect(paintsTumors(await loadConfig(`configs/${name}.yaml`))).toBe(paints)
})
