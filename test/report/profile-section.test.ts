import { expect, test } from 'vitest'
import { profileSection, type StageTimes, type StepProfile } from '../../src/report/profile-section.js'
import { expectShownAsText, HOSTILE } from './hostile-name.js'

function stage(name: string, seconds: number, changes: Partial<StageTimes> = {}): StageTimes {
  return { name, calls: 4, seconds, processorSeconds: 2 * seconds, deviceSeconds: null, ...changes }
}

function profile(stages: readonly StageTimes[]): StepProfile {
  return { steps: 4, seconds: 2, processorSeconds: 3, device: 'cpu', stages }
}

const TWO = [stage('forward', 1.2), stage('validation', 5)]

test('lists the time of each stage per step, with its share of a step', () => {
  const html = profileSection(profile(TWO))
  expect(html).toContain('<th scope="row">forward</th>')
  expect(html).toContain('<td>300.0</td><td>60 %</td><td>600.0</td><td>4</td>')
  expect(html).toContain('<td>500.0</td><td>100 %</td><td>750.0</td>')
})

test('gives a stage between two steps no share of a step', () => {
  expect(profileSection(profile(TWO))).toContain('<td>1250.0</td><td>between steps</td>')
})

test('draws the longest stage as a full bar, and the others relative to it', () => {
  const widths = [...profileSection(profile(TWO)).matchAll(/<rect [^>]*width="([\d.]+)"/g)].map(
    ([, width]) => width,
  )
  expect(widths).toEqual(['24.0', '100.0'])
})

test('has a column of GPU times only for a profile of a GPU', () => {
  expect(profileSection(profile(TWO))).not.toContain('GPU')
  expect(profileSection(profile([stage('forward', 1, { deviceSeconds: 0.8 })]))).toContain('<td>200.0</td>')
})

test('is empty without a profile, and shows a profile without a step', () => {
  expect(profileSection(null)).toBe('')
  const none = { ...profile([stage('other', 0, { calls: 0 })]), steps: 0, seconds: 0, processorSeconds: 0 }
  expect(profileSection(none)).toContain('0 steps')
})

test('shows a hostile name as text', () => {
  expectShownAsText(profileSection({ ...profile([stage(HOSTILE, 1)]), device: HOSTILE }), 2)
})
