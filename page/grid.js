// The grid of sites × sites as a table: one tab stop, arrow keys from cell to cell, a link in each.
export default {
  template: `
    <table class="grid" :class="[grid.metric, {numbers: grid.numbers, many: grid.columns.length > 50}]">
      <caption class="unseen">{{ grid.caption }}</caption>
      <thead><tr>
        <th class="corner" scope="col">{{ grid.corner }}</th>
        <th v-for="[key, begins] in grid.columns" scope="col" :class="{begins}"><span>{{ key }}</span></th>
      </tr></thead>
      <tbody @keydown="move" @mouseover="point" @focusin="point">
        <tr v-for="([key, begins], row) in grid.rows" v-memo="[grid.cells[row], at[0] === row && at[1]]" :class="{begins}">
          <th scope="row" :class="{oneway: oneWay(grid.cells[row])}"><a v-if="!grid.collapsed" :href="'/site/' + key">{{ key }}</a><span v-else>{{ key }}</span></th>
          <td v-for="(cell, column) in grid.cells[row]" :class="{begins: grid.columns[column][1]}">
            <a v-if="cell" class="cell" :class="[cell[0], 'l' + cell[1], {oneway: cell[4]}]" :href="address(row, column)"
               :aria-label="said(row, column)" :tabindex="row === at[0] && column === at[1] ? 0 : -1"
               :data-row="row" :data-column="column"
            ><span>{{ grid.numbers ? cell[2] : '' }}</span></a>
          </td>
        </tr>
      </tbody>
    </table>`,
  props: { grid: Object },
  data() {
    const row = this.grid.cells.findIndex((line) => line.some((cell) => cell));
    return { at: [row, row < 0 ? -1 : this.grid.cells[row].findIndex((cell) => cell)], waiting: null };
  },
  methods: {
    ends(row, column) { return [this.grid.rows[row][0], this.grid.columns[column][0]]; },
    address(row, column) {
      const [src, dst] = this.ends(row, column).map(encodeURIComponent);
      return this.grid.collapsed ? `/?collapse=none&src=${src}&dst=${dst}` : `/link/${src}/${dst}`;
    },
    said(row, column) {
      const [src, dst] = this.ends(row, column), cell = this.grid.cells[row][column];
      const unit = cell[2].includes('/') ? '' : this.grid.unit;  // a count of links has none
      const value = cell[2] ? `, ${cell[2]} ${unit}` : '';
      return `${src} → ${dst}: ${this.grid.states[cell[0]]}${value}${cell[4] ? `, ${this.grid.one_way}` : ''}`;
    },
    oneWay(cells) {  // a row stands out where at least half of it does
      const there = cells.filter((cell) => cell);
      return there.length > 1 && 2 * there.filter((cell) => cell[4]).length >= there.length;
    },
    point(event) {  // one listener for all cells
      const cell = event.target.closest('.cell');
      if (cell) this.look(Number(cell.dataset.row), Number(cell.dataset.column));
    },
    look(row, column) {
      clearTimeout(this.waiting);
      this.waiting = setTimeout(() => this.$emit('look', this.ends(row, column)), 60);
    },
    move(event) {
      const steps = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
      const step = steps[event.key], from = event.target.dataset;
      if (!step || from.row === undefined) return;
      event.preventDefault();
      let [row, column] = [Number(from.row), Number(from.column)];
      do {
        row += step[0];
        column += step[1];
        if (!this.grid.cells[row] || this.grid.cells[row][column] === undefined) return;
      } while (!this.grid.cells[row][column]);
      this.at = [row, column];
      this.$el.querySelector(`[data-row="${row}"][data-column="${column}"]`).focus();
    },
    patch(changes) {
      const rows = new Set(changes.map(([row]) => row));
      for (const row of rows) this.grid.cells[row] = this.grid.cells[row].slice();  // another row: it is drawn anew
      for (const [row, column, cell] of changes) this.grid.cells[row][column] = cell;
    },
  },
};
