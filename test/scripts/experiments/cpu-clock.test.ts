import { describe, expect, it } from 'vitest'
import { CpuClock, type ProcessTicks, parseStat } from '../../../scripts/experiments/cpu-clock.js'

const process = (pid: number, parent: number, ticks: number, startTick = 1): ProcessTicks => ({
  pid,
  parent,
  ticks,
  startTick,
})

/** A clock that sees one list of processes after another. */
function clockOver(...looks: ProcessTicks[][]): CpuClock {
  let at = 0
  return new CpuClock(() => looks[Math.min(at++, looks.length - 1)]!, 10)
}

describe('the processor clock', () => {
  it('adds up the family and leaves out strangers', () => {
    const clock = clockOver([
      process(10, 1, 100),
      process(11, 10, 250),
      process(12, 11, 50),
      process(99, 1, 9000),
    ])
    expect(clock.seconds()).toBe(4)
  })

  it('keeps what a child used that has ended', () => {
    const clock = clockOver([process(10, 1, 100), process(11, 10, 300)], [process(10, 1, 150)])
    clock.sample()
    expect(clock.seconds()).toBe(4.5)
  })

  it('continues to count a rank whose launcher has exited, and the processes that this rank starts', () => {
    const clock = clockOver(
      [process(10, 1, 0), process(11, 10, 100), process(12, 11, 200)],
      [process(10, 1, 0), process(12, 1, 500), process(13, 12, 100)],
    )
    clock.sample()
    expect(clock.seconds()).toBe(7)
  })

  it('does not take a new process for an old one whose number it got', () => {
    const clock = clockOver(
      [process(10, 1, 0), process(11, 10, 300, 5)],
      [process(10, 1, 0), process(11, 1, 700, 80)],
    )
    clock.sample()
    expect(clock.seconds()).toBe(3)
  })

  it('reads a line of /proc whatever the program is called', () => {
    const line = `42 (my (odd) name) S 7 42 42 0 -1 0 0 0 0 0 130 20 999 999 20 0 1 0 12345 0`
    expect(parseStat(line)).toEqual({ pid: 42, parent: 7, ticks: 150, startTick: 12345 })
  })

  it('counts this very process', () => {
    expect(new CpuClock().seconds()).toBeGreaterThan(0)
  })
})
