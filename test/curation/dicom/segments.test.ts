import { expect, test } from 'vitest'
import {
  labelsOfSegments,
  paintingOrder,
  refuseUnmet,
  regionOfSegments,
  type ScannedSegment,
} from '../../../src/curation/dicom/segments.js'

const segment = (number: number, name: string, code = '', anatomy = ''): ScannedSegment => ({
  number,
  name,
  code,
  anatomy,
})

test('a segment is labelled by the rule of the user, else by its code, else by its name', () => {
  const segments = [
    segment(1, 'Leber'),
    segment(2, 'x', 'SRT:T-62000'),
    segment(3, 'Kidney_L'),
    segment(4, 'y', 'SCT:108369006', 'SCT:15776009'),
    segment(5, 'GTV'),
    segment(6, 'Heart'),
    segment(7, 'Liver'),
  ]
  const rules = [
    { segment: 'leber', id: 1 },
    { segment: '#5', id: 2 },
    { segment: 'Liver', id: 3 },
  ]
  expect([...labelsOfSegments(segments, 'abdomen', rules)]).toEqual([
    [1, 1],
    [2, 1],
    [3, 5],
    [4, 4],
    [5, 2],
    [7, 3],
  ])
})

test('a rule without a segment is refused', () => {
  expect(() => refuseUnmet([{ segment: 'Lever', id: 1 }], [segment(1, 'Leber')])).toThrow(
    /--map: .*found Lever/,
  )
})

test('the region is that of the organs, and two regions are refused', () => {
  expect(regionOfSegments([[segment(1, 'Lung_L')]])).toBe('chest')
  expect(regionOfSegments([[segment(1, 'Heart')]])).toBe(null)
  expect(() => regionOfSegments([[segment(1, 'Lung_L')], [segment(1, 'Liver')]])).toThrow(
    /abdomen and of the chest/,
  )
})

test('tumors are painted after organs', () => {
  expect(paintingOrder('abdomen')).toEqual([1, 3, 5, 2, 4, 6])
})
