/** Pages of data and their viewer. They are a file of their own, which the pages of runs do not load. */
export { showData } from './data-view.js'
export { showReview } from './review-view.js'
